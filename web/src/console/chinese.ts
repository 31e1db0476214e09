// The console in Chinese: the English text, and what it is. A text is in the file of its subject, or in `general` if several subjects show it.

import { general } from './chinese/general';
import { mixes } from './chinese/mixes';
import { operation } from './chinese/operation';
import { rooms } from './chinese/rooms';

export const chinese: Record<string, string> = { ...general, ...rooms, ...mixes, ...operation };
