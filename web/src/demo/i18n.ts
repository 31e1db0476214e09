// The texts of the demo room, in English and Chinese.

import { RotundaError } from '../sdk/types';

const en = {
  title: 'Rotunda',
  tagline: 'Meet in a room. Mix it, watch it live, record it.',
  name: 'Your name',
  nameHint: 'Letters, digits, _ and -',
  room: 'Room',
  camera: 'Camera',
  microphone: 'Microphone',
  device: 'Device {0}',
  noDevice: 'None',
  level: 'Microphone level',
  testSpeaker: 'Test the speaker',
  join: 'Join',
  joining: 'Joining …',
  cameraOff: 'Camera is off',
  demoMode: 'Demo mode: anybody who opens this page can enter any room.',
  needsTicket: 'This server is not in demo mode, so this page needs a ticket of your back end: open it with ?sdkAppId=…&user=…&userSig=…',
  language: 'Language',
  roomName: 'Room {0}',
  present: '{0} present',
  participants: 'Participants',
  toolbar: 'Controls',
  panel: 'Side panel',
  mute: 'Mute',
  unmute: 'Unmute',
  stopCamera: 'Stop camera',
  startCamera: 'Start camera',
  share: 'Share screen',
  stopSharing: 'Stop sharing',
  raiseHand: 'Raise hand',
  lowerHand: 'Lower hand',
  chat: 'Chat',
  people: 'People',
  mix: 'Mix',
  leave: 'Leave',
  close: 'Close',
  grid: 'Grid view',
  speaker: 'Speaker view',
  pin: 'Pin {0}',
  unpin: 'Unpin {0}',
  you: '{0} (you)',
  screenOf: "{0}'s screen",
  muted: 'muted',
  handRaised: 'hand raised',
  message: 'Message to all',
  send: 'Send',
  noMessages: 'No messages yet. A message reaches the members who are in the room now.',
  layout: 'Layout',
  layoutGrid: 'Grid',
  layoutFloat: 'Float',
  layoutScreen: 'Screen share',
  layoutPip: 'Picture in picture',
  start: 'Start',
  change: 'Change',
  stop: 'Stop',
  protocol: 'Protocol',
  mixVideo: 'The mix, live',
  recordings: 'Recordings',
  noRecordings: 'No recordings yet. Start a mix and stop it.',
  reconnecting: 'Connection lost. Reconnecting …',
  weakNetwork: 'Your connection is weak. Video may pause.',
  tapToHear: 'Tap the page to hear the others.',
  notAllowed: 'You are no longer allowed to send {0}.',
  interrupted: 'Your {0} was interrupted.',
  tryAgain: 'Try again',
  and: ' and ',
  // In a sentence.
  yourCamera: 'camera',
  yourMicrophone: 'audio',
};

type Key = keyof typeof en;

const zh: Record<Key, string> = {
  title: 'Rotunda',
  tagline: '进入房间,混流、直播、录制。',
  name: '您的名字',
  nameHint: '字母、数字、_ 和 -',
  room: '房间',
  camera: '摄像头',
  microphone: '麦克风',
  device: '设备 {0}',
  noDevice: '无',
  level: '麦克风音量',
  testSpeaker: '测试扬声器',
  join: '进入',
  joining: '正在进入…',
  cameraOff: '摄像头已关闭',
  demoMode: '演示模式:打开此页面的任何人都可以进入任意房间。',
  needsTicket: '服务器不在演示模式,此页面需要您后端签发的票据:请用 ?sdkAppId=…&user=…&userSig=… 打开',
  language: '语言',
  roomName: '房间 {0}',
  present: '{0} 人在线',
  participants: '参与者',
  toolbar: '控制栏',
  panel: '侧栏',
  mute: '静音',
  unmute: '取消静音',
  stopCamera: '关闭摄像头',
  startCamera: '打开摄像头',
  share: '共享屏幕',
  stopSharing: '停止共享',
  raiseHand: '举手',
  lowerHand: '放下手',
  chat: '聊天',
  people: '成员',
  mix: '混流',
  leave: '离开',
  close: '关闭',
  grid: '宫格视图',
  speaker: '主讲视图',
  pin: '固定 {0}',
  unpin: '取消固定 {0}',
  you: '{0}(我)',
  screenOf: '{0} 的屏幕',
  muted: '已静音',
  handRaised: '已举手',
  message: '发送给所有人',
  send: '发送',
  noMessages: '还没有消息。您发送的内容会送达当前房间内的所有人。',
  layout: '布局',
  layoutGrid: '宫格',
  layoutFloat: '悬浮',
  layoutScreen: '屏幕共享',
  layoutPip: '画中画',
  start: '开始',
  change: '更改',
  stop: '停止',
  protocol: '协议',
  mixVideo: '混流直播',
  recordings: '录制文件',
  noRecordings: '还没有录制文件。开始混流,再停止即可生成。',
  reconnecting: '连接已断开,正在重连…',
  weakNetwork: '网络较差,视频可能会暂停。',
  tapToHear: '请点击页面以收听其他人的声音。',
  notAllowed: '您不再允许发送{0}。',
  interrupted: '您的{0}被中断。',
  tryAgain: '重试',
  and: '和',
  yourCamera: '摄像头画面',
  yourMicrophone: '声音',
};

/** Refusals of the server and of devices, by code. Others stay in English, as the server says them. */
const zhErrors: Record<string, string> = {
  unreachable: '无法连接服务器。',
  disconnected: '与服务器的连接已断开。',
  timeout: '连接断开时间过长,请重新进入。',
  kick: '您已在其他地方进入房间。',
  banned: '您已被移出房间。',
  room_disband: '房间已解散。',
  shutdown: '服务器正在重启,请稍后再进入。',
  room_full: '房间已满。',
  too_many_audio_publishers: '麦克风席位已满。',
  too_many_video_publishers: '摄像头席位已满。',
  not_permitted: '没有权限。',
  permission_denied: '页面没有使用该设备的权限。请在地址栏旁的图标中允许后重试。',
  permission_denied_by_system: '操作系统不允许浏览器使用该设备。请在系统隐私设置中允许。',
  screen_not_chosen: '没有选择屏幕。',
  device_not_found: '没有找到设备。请连接后重试。',
  device_busy: '设备无法打开,可能正被其他程序使用。请关闭该程序后重试。',
  insecure_page: '浏览器只允许 HTTPS 页面使用摄像头和麦克风。',
};

export const languages = { en: 'English', zh: '中文' } as const;
export type Language = keyof typeof languages;
const texts: Record<Language, Record<Key, string>> = { en, zh };

let language: Language = 'en';

/** The first of these that there is: the address, the last choice, the browser's languages. */
export function chooseLanguage(wanted: (string | null | undefined)[]): Language {
  const known = wanted.map((one) => one?.toLowerCase().split('-')[0]).find((one) => one !== undefined && one in languages);
  language = (known as Language | undefined) ?? 'en';
  return language;
}

export function t(key: Key, ...values: (string | number)[]): string {
  return values.reduce<string>((text, value, index) => text.replace(`{${index}}`, String(value)), texts[language][key]);
}

export function errorText(error: unknown): string {
  if (language === 'zh' && error instanceof RotundaError) return zhErrors[error.code] ?? error.message;
  return error instanceof Error ? error.message : String(error);
}

/** Fills the page's elements: `data-t` is the key of their text, `data-t-label` of their accessible name, `data-t-title` of their title. */
export function translatePage(): void {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : language;
  for (const [attribute, apply] of [
    ['t', (element: HTMLElement, text: string) => { element.textContent = text; }],
    ['tLabel', (element: HTMLElement, text: string) => element.setAttribute('aria-label', text)],
    ['tTitle', (element: HTMLElement, text: string) => { element.title = text; }],
  ] as const) {
    for (const element of document.querySelectorAll<HTMLElement>(`[data-${attribute.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}]`)) {
      const key = element.dataset[attribute];
      if (key !== undefined && key in en) apply(element, t(key as Key));
    }
  }
}
