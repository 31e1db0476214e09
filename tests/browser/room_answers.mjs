// Signaling of rooms and calls without a server, for screens: the page enters a room with these members, or rings.

/** In the page: an answer to its offer, by another connection of the same page. */
async function answerOffer(sdp) {
  const other = new RTCPeerConnection();
  (window.others ??= []).push(other);
  await other.setRemoteDescription({ type: 'offer', sdp });
  await other.setLocalDescription(await other.createAnswer());
  return other.localDescription.sdp;
}

/** Answers `/ws`. `answers`: of single requests, by their names. Returns a function that sends an event. */
export async function answerRooms(page, room, answers = {}) {
  let send = () => {};
  await page.routeWebSocket(/\/ws$/, (socket) => {
    send = (event) => socket.send(JSON.stringify(event));
    socket.onMessage(async (text) => {
      const { id, op, offer } = JSON.parse(text);
      const answer = answers[op]?.(JSON.parse(text));
      if (answer) return socket.send(JSON.stringify({ id, ...answer }));
      const more = op === 'enterRoom' ? { room, resumeToken: 'token' } : op === 'connect' ? { answer: await page.evaluate(answerOffer, offer) } : {};
      socket.send(JSON.stringify({ id, ok: true, ...more }));
    });
  });
  return (event) => send(event);
}

/** Answers `/calls`. Returns a function that tells a view of a call. */
export async function answerCalls(page, profiles) {
  let send = () => {};
  await page.routeWebSocket(/\/calls$/, (socket) => {
    send = (call) => socket.send(JSON.stringify({ event: 'call', call }));
    socket.onMessage((text) => {
      const { id, op } = JSON.parse(text);
      socket.send(JSON.stringify({ id, ok: true, ...op === 'register' ? { missed: [], returnSeconds: 15 } : op === 'getProfiles' ? { profiles } : {} }));
    });
  });
  return (call) => send(call);
}
