// The texts of players, in English and Chinese: for the player's page, the demo room and the console.

import { fill } from '../fill';

const en = {
  title: 'Player',
  mute: 'Mute',
  unmute: 'Unmute',
  noStream: 'Add ?stream=ID to the address.',
  player: 'The player cannot be loaded. Reload the page.',
  away: 'This stream is not on the air. Start its mix or its publisher, then play it again.',
  forbidden: 'This address has no valid permission. If the application has a play key, it needs txSecret and txTime of your back end.',
  unreachable: 'The server does not answer. Check the network, then play it again.',
  broken: 'The stream cannot be played ({0}). Try the other protocol.',
};
type Key = keyof typeof en;

const zh: Record<Key, string> = {
  title: '播放器',
  mute: '静音',
  unmute: '取消静音',
  noStream: '请在地址中加上 ?stream=ID。',
  player: '播放器无法加载，请刷新页面。',
  away: '该流当前没有直播。请先开始混流或发布，然后重新播放。',
  forbidden: '此地址没有有效的播放权限。如果应用设置了播放密钥，地址需要您后端签发的 txSecret 和 txTime。',
  unreachable: '服务器没有响应。请检查网络后重新播放。',
  broken: '该流无法播放（{0}）。请尝试另一种协议。',
};

export type Language = 'en' | 'zh';

export interface Failure {
  why: 'player' | 'away' | 'forbidden' | 'unreachable' | 'broken';
  /** Of the player. */
  detail: string;
}

/** `status`: of the server's answer; undefined, 0 or less (mpegts.js has -1): there was none. `isNetwork`: it failed while it was fetched. */
export function failure(detail: string, isNetwork: boolean, status?: number): Failure {
  if (status === 404) return { why: 'away', detail };
  if (status === 401 || status === 403) return { why: 'forbidden', detail };
  return { why: isNetwork && !(status && status > 0) ? 'unreachable' : 'broken', detail };
}

export function failureText(language: Language, { why, detail }: Failure): string {
  return playerText(language, why, detail);
}

export function playerText(language: Language, key: Key, ...values: string[]): string {
  return fill((language === 'zh' ? zh : en)[key], values);
}

/** The first of these that there is. */
export function languageOf(wanted: readonly (string | null)[]): Language {
  const found = wanted.map((tag) => tag?.toLowerCase().split('-')[0]).find((tag) => tag === 'en' || tag === 'zh');
  return found === 'zh' ? 'zh' : 'en';
}
