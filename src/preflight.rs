//! Checks before anything starts: ports are free, folders are writable, the certificate matches its key. All
//! mistakes are reported at once.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use rotunda_listen::Tls;
use rotunda_proto::config::ConfigMistake;

use crate::cli::Role;
use crate::config::{Config, ConfigError};

/// Tries every port and folder that the roles will use, and releases it again.
pub fn check(config: &Config, roles: &[Role]) -> Result<(), ConfigError> {
    let mut mistakes = Vec::new();
    mistakes.extend(folder("server.data", &config.server.data));
    mistakes.extend(tcp("server.port", config.server.bind, config.server.port));
    if roles.contains(&Role::Signaling) {
        mistakes.extend(tcp(
            "signaling.api.grpc_port",
            config.signaling.api.bind,
            config.signaling.api.grpc_port,
        ));
    }
    if roles.contains(&Role::Sfu) {
        for port in config.sfu.ports() {
            mistakes.extend(tcp("sfu.port", config.sfu.bind, port));
            mistakes.extend(udp("sfu.port", config.sfu.bind, port));
        }
    }
    if roles.contains(&Role::Recorder) {
        mistakes.extend(folder("recorder.directory", &config.recorder.directory));
    }
    if roles.contains(&Role::Live) {
        mistakes.extend(tcp("live.rtmp_port", config.live.bind, config.live.rtmp_port));
        if config.live.rtmps_port > 0 {
            mistakes.extend(tcp("live.rtmps_port", config.live.bind, config.live.rtmps_port));
        }
        if config.live.whep_port > 0 {
            let any = Ipv4Addr::UNSPECIFIED.into();
            mistakes.extend(udp("live.whep_port", any, config.live.whep_port));
        }
    }
    if config.makes_or_reads_programs(roles) {
        mistakes.extend(tcp("programs.port", config.programs.bind, config.programs.port));
    }
    if roles.contains(&Role::Avatar) {
        mistakes.extend(tcp("avatar.port", config.avatar.bind, config.avatar.port));
        mistakes.extend(folder("avatar.record_directory", &config.avatar.record_directory));
    }
    if let Err(error) = Tls::load(&config.server.tls) {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let message: Vec<String> = causes.map(ToString::to_string).collect();
        mistakes.push(ConfigMistake::new("server.tls", message.join(": ")));
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(ConfigError(mistakes))
    }
}

fn tcp(key: &str, address: IpAddr, port: u16) -> Option<ConfigMistake> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address)
        .err()
        .map(|error| port_mistake(key, "TCP", address, &error))
}

fn udp(key: &str, address: IpAddr, port: u16) -> Option<ConfigMistake> {
    let address = SocketAddr::new(address, port);
    UdpSocket::bind(address)
        .err()
        .map(|error| port_mistake(key, "UDP", address, &error))
}

fn port_mistake(key: &str, protocol: &str, address: SocketAddr, error: &std::io::Error) -> ConfigMistake {
    let message = match error.kind() {
        ErrorKind::AddrInUse => {
            format!("{protocol} {address} is taken by another program; stop it or choose another port")
        }
        ErrorKind::PermissionDenied => format!("{protocol} {address} needs a privilege; choose a port over 1023"),
        _ => format!("{protocol} {address}: {error}"),
    };
    ConfigMistake::new(key, message)
}

fn folder(key: &str, path: &Path) -> Option<ConfigMistake> {
    let probe = path.join(".rotunda-write-test");
    let tried = std::fs::create_dir_all(path)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| {
            std::fs::remove_file(&probe)?;
            Ok(())
        });
    tried
        .err()
        .map(|error| ConfigMistake::new(key, format!("cannot write in {}: {error}", path.display())))
}
