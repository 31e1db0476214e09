// The texts of the page of calls.

import { fill } from '../fill';

const en: Record<string, string> = {
  title: 'Calls',
  tagline: 'Open this page in two tabs or on two phones, with two names, and call each other.',
  name: 'Your name',
  login: 'Be reachable',
  reachable: '{0} is reachable',
  callee: 'Whom to call',
  calleeHint: 'Several names with spaces between make a group call.',
  video: 'Video call',
  audio: 'Voice call',
  nickname: 'Shown name',
  save: 'Save',
  ended: 'The call has ended: {0} ({1} s)',
  missed: 'Missed call of {0}, {1}',
  failed: 'Failed: {0}',
  hangUp: 'hung up',
  rejected: 'rejected',
  noAnswer: 'no answer',
  offline: 'nobody was reachable',
  busy: 'busy',
  cancelled: 'cancelled',
  lost: 'connection lost',
  answeredElsewhere: 'answered on another device',
  rejectedElsewhere: 'rejected on another device',
};

const zh: Record<string, string> = {
  title: '通话',
  tagline: '在两个标签页或两部手机上用不同的名字打开本页，然后互相呼叫。',
  name: '你的名字',
  login: '上线',
  reachable: '{0} 在线',
  callee: '呼叫谁',
  calleeHint: '用空格分隔多个名字即可发起群组通话。',
  video: '视频通话',
  audio: '语音通话',
  nickname: '显示名称',
  save: '保存',
  ended: '通话结束：{0}（{1} 秒）',
  missed: '{0} 的未接来电，{1}',
  failed: '失败：{0}',
  hangUp: '已挂断',
  rejected: '已拒绝',
  noAnswer: '无应答',
  offline: '对方不在线',
  busy: '忙线',
  cancelled: '已取消',
  lost: '连接断开',
  answeredElsewhere: '已在其他设备接听',
  rejectedElsewhere: '已在其他设备拒绝',
};

export type Language = 'en' | 'zh';

export function languageOf(wanted: readonly (string | null)[]): Language {
  const found = wanted.map((tag) => tag?.toLowerCase().split('-')[0]).find((tag) => tag === 'en' || tag === 'zh');
  return found === 'zh' ? 'zh' : 'en';
}

/** A text that is not known is its own key. */
export function text(language: Language, key: string, ...values: (string | number)[]): string {
  return fill((language === 'zh' ? zh : en)[key] ?? key, values);
}

/** Fills the elements of the page whose `data-t` is the key of their text. */
export function translate(language: Language): void {
  for (const element of document.querySelectorAll<HTMLElement>('[data-t]')) element.textContent = text(language, element.dataset['t'] ?? '');
}
