// The texts of the page of cameras, in English and Chinese.

import { currentLanguage } from '../demo/i18n';
import { fill } from '../fill';

const en = {
  language: 'Language',
  pageTitle: 'Cameras · Rotunda',
  cameras: 'Cameras',
  refresh: 'Refresh',
  none: 'No camera yet. Add one by its product and name.',
  product: 'Product',
  name: 'Name',
  nameHint: 'Letters, digits, _ and -',
  add: 'Add camera',
  remove: 'Remove {0}',
  online: 'online',
  offline: 'offline',
  offlineChannel: '{0} (offline)',
  back: 'Back to the cameras',
  connecting: 'Connecting …',
  reconnecting: 'Connection lost. Reconnecting …',
  isOffline: 'This camera is offline. It appears as soon as it is back.',
  direct: 'Direct',
  relayed: 'Through the server',
  recordingEnded: 'The recording has ended.',
  mute: 'Mute',
  unmute: 'Unmute',
  controls: 'Controls',
  live: 'Live',
  recordings: 'Recordings',
  camera: 'Camera',
  quality: 'Quality',
  fluent: 'Fluent',
  standard: 'Standard',
  high: 'High',
  move: 'Move the camera',
  up: 'Up',
  left: 'Left',
  right: 'Right',
  down: 'Down',
  talk: 'Talk',
  stopTalking: 'Stop talking',
  snapshot: 'Snapshot',
  monthBefore: 'Month before',
  monthAfter: 'Month after',
  timeOfDay: 'Time of day',
  pause: 'Pause',
  resume: 'Resume',
  backwards: 'Backwards',
  speed: 'Speed',
  keyframes: 'Keyframes only',
  files: 'Files',
  download: 'Download',
  stop: 'Stop',
  saved: 'Saved',
};
export type Key = keyof typeof en;

const zh: Record<Key, string> = {
  language: '语言',
  pageTitle: '摄像头 · Rotunda',
  cameras: '摄像头',
  refresh: '刷新',
  none: '还没有摄像头。请按产品和名称添加。',
  product: '产品',
  name: '名称',
  nameHint: '字母、数字、_ 和 -',
  add: '添加摄像头',
  remove: '移除 {0}',
  online: '在线',
  offline: '离线',
  offlineChannel: '{0}（离线）',
  back: '返回摄像头列表',
  connecting: '正在连接…',
  reconnecting: '连接已断开，正在重新连接…',
  isOffline: '该摄像头已离线，恢复后会自动显示。',
  direct: '直连',
  relayed: '经服务器',
  recordingEnded: '录像已播放完毕。',
  mute: '静音',
  unmute: '打开声音',
  controls: '控制',
  live: '实时',
  recordings: '录像',
  camera: '摄像头',
  quality: '清晰度',
  fluent: '流畅',
  standard: '标清',
  high: '高清',
  move: '转动摄像头',
  up: '上',
  left: '左',
  right: '右',
  down: '下',
  talk: '对讲',
  stopTalking: '结束对讲',
  snapshot: '截图',
  monthBefore: '上个月',
  monthAfter: '下个月',
  timeOfDay: '时刻',
  pause: '暂停',
  resume: '继续',
  backwards: '倒放',
  speed: '倍速',
  keyframes: '仅关键帧',
  files: '文件',
  download: '下载',
  stop: '停止',
  saved: '已保存',
};

export function t(key: Key, ...values: (string | number)[]): string {
  return fill((currentLanguage() === 'zh' ? zh : en)[key], values);
}

/** For dates. */
export function locale(): string | undefined {
  return currentLanguage() === 'zh' ? 'zh-CN' : undefined;
}

/** Fills the page's elements: `data-t` is the key of their text, `data-t-label` of their accessible name, `data-t-title` of their title. */
export function translatePage(): void {
  document.documentElement.lang = currentLanguage() === 'zh' ? 'zh-CN' : 'en';
  document.title = t('pageTitle');
  const isKey = (key: string | null): key is Key => key !== null && key in en;
  const each = (attribute: string, apply: (element: HTMLElement, text: string) => void) => {
    for (const element of document.querySelectorAll<HTMLElement>(`[${attribute}]`)) {
      const key = element.getAttribute(attribute);
      if (isKey(key)) apply(element, t(key));
    }
  };
  each('data-t', (element, text) => { element.textContent = text; });
  each('data-t-label', (element, text) => element.setAttribute('aria-label', text));
  each('data-t-title', (element, text) => { element.title = text; });
}
