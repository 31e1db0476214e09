// The client of these pages: one WebRTC session with an avatar, and the calls of its HTTP API.

/** POSTs JSON and answers with the body; throws what the server says went wrong. */
export async function call(path, body) {
  const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  return checked(await response.json());
}

export async function upload(sessionid, file) {
  const form = new FormData();
  form.append('sessionid', String(sessionid));
  form.append('file', file);
  return checked(await (await fetch('/humanaudio', { method: 'POST', body: form })).json());
}

function checked(answer) {
  if (answer.code) throw new Error(answer.msg);
  return answer;
}

/** Begins a session; its video and audio play in `video`. */
export async function connect(video, onState = () => {}) {
  const peer = new RTCPeerConnection();
  const stream = new MediaStream();
  video.srcObject = stream;
  peer.addTransceiver('video', { direction: 'recvonly' });
  peer.addTransceiver('audio', { direction: 'recvonly' });
  peer.ontrack = ({ track }) => stream.addTrack(track);
  peer.onconnectionstatechange = () => onState(peer.connectionState);
  await peer.setLocalDescription(await peer.createOffer());
  if (peer.iceGatheringState !== 'complete') {
    await new Promise((resolve) => {
      peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && resolve();
    });
  }
  const { sdp, type } = peer.localDescription;
  let answer;
  try {
    answer = await call('/offer', { sdp, type });
  } catch (error) {
    peer.close();
    throw error;
  }
  await peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
  return { peer, sessionid: answer.sessionid };
}

/** Wires the buttons of a page; `session()` is the id that they order around. */
export function controls(session) {
  const $ = (id) => document.getElementById(id);
  const show = (text, bad) => { $('state').textContent = text; $('state').toggleAttribute('data-bad', Boolean(bad)); };
  const act = (id, job) => $(id)?.addEventListener('click', async () => {
    try {
      await job();
    } catch (error) {
      show(error.message, true);
    }
  });
  const speak = (type) => call('/human', { sessionid: session(), type, text: $('text').value, interrupt: $('interrupt').checked });
  act('echo', () => speak('echo'));
  act('chat', () => speak('chat'));
  act('stop', () => call('/interrupt_talk', { sessionid: session() }));
  act('send', async () => {
    if (!$('file').files[0]) throw new Error('Choose a file first.');
    await upload(session(), $('file').files[0]);
  });
  act('show', () => call('/set_audiotype', { sessionid: session(), audiotype: Number($('audiotype').value), reinit: true }));
  act('start_record', () => call('/record', { sessionid: session(), type: 'start_record' }));
  act('end_record', () => call('/record', { sessionid: session(), type: 'end_record' }));
  return show;
}

/** Shows whether the avatar speaks, four times a second. */
export function watchSpeaking(session, element) {
  return setInterval(async () => {
    try {
      const { data } = await call('/is_speaking', { sessionid: session() });
      element.textContent = data ? 'speaking' : 'silent';
    } catch (error) {
      element.textContent = error.message;
    }
  }, 250);
}
