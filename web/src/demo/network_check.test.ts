import { expect, test } from 'vitest';
import { verdict } from './network_check';

test.each([
  [{ roundTrip: 20, protocol: 'udp' }, 'networkGood'],
  [{ protocol: 'udp' }, 'networkGood'],
  [{ roundTrip: 200, protocol: 'udp' }, 'networkSlow'],
  [{ roundTrip: 400, protocol: 'udp' }, 'networkFar'],
  [{ roundTrip: 20, protocol: 'tcp' }, 'networkTcp'],
] as const)('of a network with %j the words are %s', (measured, words) => {
  expect(verdict({ setup: 100, relayed: false, ...measured })).toBe(words);
});
