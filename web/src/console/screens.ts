// The screens, in the order of the navigation, and the scope of a key that each needs.

import type { Screen } from './context';
import type { Icon } from './ui';
import { about } from './screens/about';
import { applications } from './screens/applications';
import { callbacks } from './screens/callbacks';
import { devices } from './screens/devices';
import { history } from './screens/history';
import { mixes } from './screens/mixes';
import { nodes } from './screens/nodes';
import { overview } from './screens/overview';
import { recordings } from './screens/recordings';
import { rooms } from './screens/rooms';
import { streams } from './screens/streams';
import { usage } from './screens/usage';

interface Entry { title: string; icon: Icon; screen: Screen; scope?: string }

export type ScreenName = 'overview' | 'rooms' | 'devices' | 'history' | 'mixes' | 'streams' | 'recordings' | 'callbacks' | 'usage' | 'nodes' | 'applications' | 'about';

export const screens: Record<ScreenName, Entry> = {
  overview: { title: 'Overview', icon: 'overview', screen: overview },
  rooms: { title: 'Rooms', icon: 'rooms', screen: rooms, scope: 'rooms' },
  devices: { title: 'Devices', icon: 'devices', screen: devices, scope: 'rooms' },
  history: { title: 'History', icon: 'history', screen: history, scope: 'rooms' },
  mixes: { title: 'Mixes', icon: 'mixes', screen: mixes, scope: 'mix' },
  streams: { title: 'Live', icon: 'streams', screen: streams, scope: 'live' },
  recordings: { title: 'Recordings', icon: 'recordings', screen: recordings, scope: 'recordings' },
  callbacks: { title: 'Callbacks', icon: 'callbacks', screen: callbacks, scope: 'admin' },
  usage: { title: 'Usage', icon: 'usage', screen: usage, scope: 'usage' },
  nodes: { title: 'Nodes', icon: 'nodes', screen: nodes, scope: 'admin' },
  applications: { title: 'Applications', icon: 'applications', screen: applications },
  about: { title: 'Settings', icon: 'about', screen: about },
};
