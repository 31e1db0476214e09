"""Pods without a cluster: each is a process with a network, an address and a root folder of its own.

A pod runs with exactly the command, environment, user, volumes and read-only root that the chart renders. Different from a
cluster are: the node's address is a second address of the pod (there is no forwarding of host ports), Services are names in
`/etc/hosts`, the image's folders are this machine's, and PostgreSQL's image is imitated by a script. It needs root.
"""

import itertools
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

from chart import component, containers, workloads

POD_NETWORK = "10.244.7"
NODE_NETWORK = "192.168.77"
# Longer takes no state that a test waits for, on a busy machine.
PATIENCE = 90

# The folders of this machine that stand for those of the image.
FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
FILES = ("ld.so.cache", "nsswitch.conf", "ssl", "fonts", "localtime", "host.conf")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The first start of PostgreSQL's image, as far as the chart relies on it.
POSTGRES = """
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
export PGDATA=${PGDATA:-/var/lib/postgresql/data}
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    "$bin/initdb" -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/password -A scram-sha-256 -E UTF8 --no-locale --no-sync >/dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    printf 'CREATE DATABASE "%s";' "$POSTGRES_DB" | "$bin/postgres" --single -D "$PGDATA" postgres >/dev/null
fi
exec "$bin/postgres" -D "$PGDATA" -c listen_addresses='*' -c fsync=off
"""


def eventually(what, check, patience=PATIENCE):
    """The first true value of `check`."""
    deadline = time.monotonic() + patience
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"not in {patience} s: {what}"
        time.sleep(0.2)


def run(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, **more)


class Cluster:
    """A network with pods. `secrets`: names and values of the one Secret. `image`: folder with the server's binary."""

    def __init__(self, objects, folder, secrets, image):
        self.objects, self.folder, self.secrets, self.image = objects, folder, secrets, image
        self.name = f"rotunda-{os.getpid()}"
        self.pods, self.clients, self.namespaces = [], [], []
        self.addresses = itertools.count(2)
        self.lan = self.make_namespace("lan")
        self.ip(self.lan, "link add bridge type bridge")
        self.ip(self.lan, f"address add {POD_NETWORK}.1/24 dev bridge")
        self.ip(self.lan, "link set bridge up")
        # A client is one more machine on the network.
        self.client = self.make_namespace("client")
        self.plug(self.client, [f"{NODE_NETWORK}.1/24", f"{POD_NETWORK}.250/24"])

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure:
            for pod in self.pods:
                print(f"--- {pod.name} ---\n{pod.text()[-4000:]}")
        for process in [*self.clients, *(pod.process for pod in self.pods if pod.process)]:
            process.kill()
            process.wait()
        for namespace in self.namespaces:
            run("ip", "netns", "delete", namespace)

    def make_namespace(self, name):
        namespace = f"{self.name}-{name}"
        run("ip", "netns", "add", namespace)
        self.namespaces.append(namespace)
        self.ip(namespace, "link set lo up")
        return namespace

    def ip(self, namespace, command):
        run("ip", "-netns", namespace, *command.split())

    def plug(self, namespace, addresses):
        """Gives the namespace an interface `eth0` at the bridge."""
        far = f"v{next(self.addresses)}"
        self.ip(self.lan, f"link add {far} type veth peer name eth0 netns {namespace}")
        self.ip(self.lan, f"link set {far} master bridge up")
        for address in addresses:
            self.ip(namespace, f"address add {address} dev eth0")
        self.ip(namespace, "link set eth0 up")

    def add_pods(self):
        """Gives every replica of every workload its name and addresses; starts nothing."""
        for workload in workloads(self.objects):
            for index in range(workload["spec"]["replicas"]):
                self.add_pod(workload, index)
        self.hosts = "127.0.0.1 localhost\n" + "".join(
            f"{self.members(service)[0].address} {service['metadata']['name']}\n"
            for service in self.objects
            if service["kind"] == "Service"
        )

    def add_pod(self, workload, index):
        # Pods of a Deployment have random names.
        middle = "-7c9d5b6f4d-x2k7" if workload["kind"] == "Deployment" else "-"
        self.pods.append(Pod(self, workload, f"{workload['metadata']['name']}{middle}{index}", next(self.addresses)))
        return self.pods[-1]

    def rolling_update(self, name):
        """Replaces the pods of a Deployment as its strategy of one more and none less has it. Yields each old pod, still running
        after its `preStop`, with the new one that is ready; the caller ends the old one."""
        old_pods = self.of(name)
        strategy = old_pods[0].workload["spec"]["strategy"]
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        for index, old in enumerate(old_pods):
            new = self.add_pod(old.workload, len(old_pods) + index)
            new.start()
            eventually(f"{new.name} is ready", new.is_ready)
            old.before_stop()
            yield old, new

    def replace_pods(self, name):
        """Replaces the pods of a StatefulSet as its strategy has it: from the last one, each by one of the same name when it has
        ended by itself. Yields each when it is ready again, with what it wrote before."""
        pods = self.of(name)
        assert "updateStrategy" not in pods[0].workload["spec"], "not the default"
        for pod in reversed(pods):
            assert pod.terminate() == 0, pod.text()
            wrote = pod.text()
            pod.start()
            eventually(f"{pod.name} is ready again", pod.is_ready)
            yield pod, wrote

    def members(self, service):
        """The pods that a Service finds by its selector."""
        selector = service["spec"]["selector"].items()
        found = [pod for pod in self.pods if selector <= pod.labels().items()]
        assert found, f"Service {service['metadata']['name']} finds no pods"
        return found

    def of(self, name):
        return [pod for pod in self.pods if pod.component == name]

    def start(self, *components):
        """Starts the pods of these components together and waits until they are ready."""
        pods = [pod for name in components for pod in self.of(name)]
        for pod in pods:
            pod.start()
        for pod in pods:
            eventually(f"{pod.name} is ready", pod.is_ready)

    def as_client(self, *command, **more):
        return subprocess.Popen(["ip", "netns", "exec", self.client, *map(str, command)], **more)

    def listens(self, address, port):
        """Whether a client can connect."""
        words = ["ip", "netns", "exec", self.client, "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
        return subprocess.run(words, stderr=subprocess.DEVNULL).returncode == 0

    def fetch(self, url, *options):
        """Status and body of an HTTP resource, as a client sees it. Status 0: no answer."""
        command = ["ip", "netns", "exec", self.client, "curl", "--silent", "--insecure", "--max-time", "5"]
        done = subprocess.run([*command, "--write-out", "\n%{http_code}", *options, url], stdout=subprocess.PIPE, text=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body


class Pod:
    def __init__(self, cluster, workload, name, number):
        self.cluster, self.workload, self.name = cluster, workload, name
        self.template = workload["spec"]["template"]
        self.spec = self.template["spec"]
        self.component = component(workload)
        (self.container,) = containers(workload)
        self.address, self.host = f"{POD_NETWORK}.{number}", f"{NODE_NETWORK}.{number}"
        self.folder = cluster.folder / name
        self.folder.mkdir(mode=0o755)
        self.namespace = cluster.make_namespace(name)
        cluster.plug(self.namespace, [f"{self.address}/24", f"{self.host}/24"])
        self.process = None

    def start(self):
        user = self.spec["securityContext"]["runAsUser"]
        group = self.spec["securityContext"]["runAsGroup"]
        script = self.folder / "start"
        script.write_text("\n".join(self.mounts()) + "\n" + self.enter(user, group) + "\n")
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--propagation", "private", "sh", "-e", script],
            env=self.environment(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )

    def labels(self):
        """The template's, and the one that a StatefulSet adds."""
        return {**self.template["metadata"]["labels"], "statefulset.kubernetes.io/pod-name": self.name}

    def words(self):
        words = [*self.container.get("command", []), *self.container.get("args", [])]
        return words or ["sh", "-c", POSTGRES]

    def environment(self):
        """As the kubelet makes it: references looked up, `$(NAME)` of earlier variables filled in."""
        fields = {"metadata.name": self.name, "status.podIP": self.address, "status.hostIP": self.host}
        env = {"PATH": PATH}
        for variable in self.container.get("env", []):
            source = variable.get("valueFrom", {})
            if "fieldRef" in source:
                value = fields[source["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in source:
                value = self.cluster.secrets[source["secretKeyRef"]["key"]]
            else:
                value = re.sub(r"\$\((\w+)\)", lambda name: env[name[1]], variable["value"])
            env[variable["name"]] = value
        return env

    def mounts(self):
        """Shell commands that make the pod's root folder."""
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        yield f"mount -t tmpfs -o mode=755 tmpfs {root}"
        yield f"cd {root}; mkdir etc dev proc sys tmp usr run var"
        for name in FOLDERS:
            path = pathlib.Path("/", name)
            if path.is_symlink():
                yield f"ln -s {os.readlink(path)} {name}"
            elif path.is_dir():
                yield f"mkdir -p {name}; mount --rbind /{name} {name}; mount -o remount,bind,ro {name}"
        yield "mount --rbind /dev dev; mount -t proc proc proc"
        for name in FILES:
            yield f"if [ -e /etc/{name} ]; then cp -rL /etc/{name} etc/ 2>/dev/null || true; fi"
        yield f"printf %s {shlex.quote(self.cluster.hosts)} >etc/hosts"
        yield "printf 'root:x:0:0::/root:/bin/sh\\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\\n' >etc/passwd"
        # Of this machine's /usr/local the image has nothing; it has the server.
        yield "mount -t tmpfs tmpfs usr/local; mkdir usr/local/bin"
        yield f"install -m 755 {self.cluster.image}/rotunda usr/local/bin/rotunda"
        for mount in self.container.get("volumeMounts", []):
            yield from self.mount(mount)
        if self.container["securityContext"]["readOnlyRootFilesystem"]:
            yield "mount -o remount,ro usr/local; mount -o remount,ro ."

    def mount(self, mount):
        source, at = self.volume(mount["name"]), mount["mountPath"].lstrip("/")
        if "subPath" in mount:
            source = source / mount["subPath"]
        make = f"mkdir -p {at}" if source.is_dir() else f"mkdir -p $(dirname {at}); touch {at}"
        yield f"{make}; mount --bind {source} {at}"
        if mount.get("readOnly"):
            yield f"mount -o remount,bind,ro {at}"

    def volume(self, name):
        """A volume's content on this machine, owned as `fsGroup` asks."""
        group = self.spec["securityContext"]["fsGroup"]
        folder = self.folder / "volumes" / name
        if folder.exists():
            return folder
        folder.mkdir(parents=True)
        claims = [claim["metadata"]["name"] for claim in self.workload["spec"].get("volumeClaimTemplates", [])]
        if name not in claims:
            volume = next(volume for volume in self.spec["volumes"] if volume["name"] == name)
            for file, text in self.files(volume):
                (folder / file).write_text(text)
                os.chown(folder / file, 0, group)
                mode = volume["secret"]["defaultMode"] if "secret" in volume else 0o644
                (folder / file).chmod(mode)
        # A volume of Docker belongs to the user to whom the image gives its folder.
        os.chown(folder, self.spec.get("volumeOwner", 0), group)
        folder.chmod(0o2775)
        return folder

    def files(self, volume):
        if "secret" in volume:
            for item in volume["secret"]["items"]:
                yield item["path"], self.cluster.secrets[item["key"]]
        elif "configMap" in volume:
            wanted = ("ConfigMap", volume["configMap"]["name"])
            for one in self.cluster.objects:
                if (one["kind"], one["metadata"]["name"]) == wanted:
                    yield from one["data"].items()
        else:
            assert "emptyDir" in volume, volume

    def enter(self, user, group):
        words = shlex.join(self.words())
        return (
            f"exec chroot . setpriv --reuid {user} --regid {group} --groups {self.spec['securityContext']['fsGroup']} "
            f"--inh-caps=-all --bounding-set=-all --no-new-privs {words}"
        )

    def is_ready(self):
        assert self.process.poll() is None, f"{self.name} ended:\n{self.text()}"
        return self.is_alive() and self.passes(self.container["readinessProbe"])

    def is_alive(self):
        """What the kubelet asks before it restarts a container."""
        return self.process.poll() is None and self.passes(self.container["livenessProbe"])

    def port(self, name):
        return next(port["containerPort"] for port in self.container["ports"] if port["name"] == name)

    def tcp_ports(self):
        return [port["containerPort"] for port in self.container["ports"] if port["protocol"] == "TCP"]

    def passes(self, probe):
        if "exec" in probe:
            # From outside of the pod's root folder, as this machine's PostgreSQL is where the image's is not.
            bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
            env = {"PATH": f"{bin}:{PATH}"}
            command = ["ip", "netns", "exec", self.namespace, *probe["exec"]["command"]]
            done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return done.returncode == 0
        get = probe["httpGet"]
        url = f"{get.get('scheme', 'HTTP').lower()}://{self.address}:{self.port(get['port'])}{get['path']}"
        return 200 <= self.cluster.fetch(url)[0] < 400

    def text(self):
        """What it has written."""
        log = self.folder / "log"
        return log.read_text(errors="replace") if log.exists() else "(not started)"

    def before_stop(self):
        """Runs the container's `preStop` inside the pod, as the kubelet does before the signal. Ends when that has ended."""
        hook = self.container.get("lifecycle", {}).get("preStop")
        if hook:
            inside = ["nsenter", "--target", str(self.process.pid), "--mount", "--net", "--root", "--wd=/"]
            run(*inside, *hook["exec"]["command"], env={"PATH": PATH}, timeout=self.spec["terminationGracePeriodSeconds"])

    def terminate(self):
        """The end of a pod, as the kubelet brings it about; the exit status."""
        self.before_stop()
        return self.end()

    def end(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(self.spec["terminationGracePeriodSeconds"])
