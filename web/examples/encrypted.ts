// The example of docs/sdk.md for end-to-end encryption.

import { Room } from '@rotunda/sdk';
import { Encryption } from '@rotunda/sdk/e2ee';
import { ticketOf } from './ticket';

const encryption = new Encryption();
encryption.setKey(0, await (await fetch('/my-backend/room-key')).arrayBuffer());
encryption.send(0);
encryption.on('state', ({ state }) => console.log(state));
export const room = await Room.enter({ url: 'wss://rotunda.example/ws', credentials: await ticketOf('ann'), roomId: 1001, transform: encryption });
