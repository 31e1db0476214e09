// The ten lines of docs/sdk.md.

import { LocalMedia, Room, Voices, attach } from '@rotunda/sdk';
import { ticketOf } from '../ticket';

const room = await Room.enter({ url: 'wss://rotunda.example/ws', credentials: await ticketOf('ann'), roomId: 1001 });
new Voices(room);
const media = new LocalMedia(room);
await media.start('audio');
await media.start('camera', { height: 720 });
room.on('changed', () => {
  const publisher = [...room.publishers.values()].find(({ userId, camera }) => camera && userId !== room.userId);
  if (publisher) attach(room, { userId: publisher.userId, source: 'camera' }, document.querySelector('video')!);
});
