// The texts of the component, in English and Chinese.

import { fill } from '../fill';

const en = {
  videoCall: 'Video call',
  audioCall: 'Voice call',
  groupCall: 'Group call, {0} {0|person|people}',
  incomingVideo: 'Incoming video call',
  incomingAudio: 'Incoming voice call',
  invitedBy: 'invited by {0}',
  calling: 'Calling …',
  connecting: 'Connecting …',
  reconnecting: 'The connection is lost. Reconnecting …',
  accept: 'Accept',
  reject: 'Reject',
  cancel: 'Cancel',
  hangUp: 'Hang up',
  mute: 'Mute',
  unmute: 'Unmute',
  cameraOn: 'Start camera',
  cameraOff: 'Stop camera',
  share: 'Share screen',
  stopSharing: 'Stop sharing',
  screenOf: "{0}'s screen",
  devices: 'Devices',
  microphone: 'Microphone',
  camera: 'Camera',
  speaker: 'Speaker',
  deviceOfBrowser: "The browser's choice",
  unnamedDevice: 'Device {0}',
  retry: 'Try again',
  dismiss: 'Close this message',
  toAudio: 'Voice only',
  toVideo: 'To video',
  add: 'Add people',
  addHint: 'User names, with spaces between',
  addNow: 'Call them',
  close: 'Close',
  minimise: 'Make small',
  enlarge: 'Back to the call',
  you: '{0} (you)',
  ringing: '{0} · ringing',
  muted: '{0} · muted',
  region: 'Call',
  controls: 'Controls of the call',
  participants: 'Participants',
  duration: 'Duration',
  left: '{0} has left',
  rejected: '{0} has rejected the call',
  busy: '{0} is in another call',
  noAnswer: '{0} does not answer',
  cancelled: '{0} has cancelled the call',
  answeredElsewhere: 'Answered on another device',
  rejectedElsewhere: 'Rejected on another device',
  ended: 'The call has ended · {0}',
  lost: 'The connection was lost',
  missedOne: 'Missed call of {0}',
  missedMany: '{0} missed {0|call|calls}, the last one of {1}',
  nowAudio: 'Now a voice call',
  nowVideo: 'Now a video call',
};
export type Key = keyof typeof en;

const zh: Record<Key, string> = {
  videoCall: '视频通话',
  audioCall: '语音通话',
  groupCall: '群组通话，{0} 人',
  incomingVideo: '邀请你视频通话',
  incomingAudio: '邀请你语音通话',
  invitedBy: '由 {0} 邀请',
  calling: '正在呼叫…',
  connecting: '正在连接…',
  reconnecting: '连接已断开，正在重新连接…',
  accept: '接听',
  reject: '拒绝',
  cancel: '取消',
  hangUp: '挂断',
  mute: '静音',
  unmute: '取消静音',
  cameraOn: '开摄像头',
  cameraOff: '关摄像头',
  share: '共享屏幕',
  stopSharing: '停止共享',
  screenOf: '{0} 的屏幕',
  devices: '设备',
  microphone: '麦克风',
  camera: '摄像头',
  speaker: '扬声器',
  deviceOfBrowser: '由浏览器选择',
  unnamedDevice: '设备 {0}',
  retry: '重试',
  dismiss: '关闭此提示',
  toAudio: '转语音',
  toVideo: '转视频',
  add: '添加成员',
  addHint: '用户名，用空格分隔',
  addNow: '呼叫',
  close: '关闭',
  minimise: '缩小',
  enlarge: '返回通话',
  you: '{0}（你）',
  ringing: '{0} · 振铃中',
  muted: '{0} · 已静音',
  region: '通话',
  controls: '通话控制',
  participants: '成员',
  duration: '通话时长',
  left: '{0} 已离开',
  rejected: '{0} 已拒绝',
  busy: '{0} 正在通话中',
  noAnswer: '{0} 无应答',
  cancelled: '{0} 已取消通话',
  answeredElsewhere: '已在其他设备接听',
  rejectedElsewhere: '已在其他设备拒绝',
  ended: '通话已结束 · {0}',
  lost: '连接已断开',
  missedOne: '{0} 的未接来电',
  missedMany: '{0} 个未接来电，最近一个来自 {1}',
  nowAudio: '已转为语音通话',
  nowVideo: '已转为视频通话',
};

const zhErrors: Record<string, string> = {
  already_in_call: '已在通话中，请先挂断。',
  too_many_invitations: '呼叫过于频繁，请稍后再试。',
  call_full: '通话人数已满。',
  call_over: '通话已结束。',
  answered_elsewhere: '已在其他设备接听。',
  disconnected: '与服务器的连接已断开。',
  unreachable: '无法连接服务器。',
  not_registered: '尚未登录。',
  permission_denied: '没有设备权限，请在地址栏旁允许后重试。',
  permission_denied_by_system: '操作系统不允许浏览器使用该设备，请在系统隐私设置中允许后重试。',
  screen_not_chosen: '没有选择屏幕。',
  screen_not_supported: '该浏览器不支持共享屏幕，请在电脑上共享。',
  gesture_required: '浏览器要求由点击或按键触发，请通过按钮重试。',
  output_not_supported: '该浏览器不支持选择扬声器，请在系统设置中选择。',
  device_unsuitable: '该设备不支持所需的设置，请选择其他设备。',
  device_failed: '设备无法打开，请选择其他设备或重试。',
  audio_blocked: '请点击页面以收听其他人的声音。',
  not_permitted: '没有权限。',
  device_not_found: '没有找到设备，请连接后重试。',
  device_busy: '设备被其他程序占用，请关闭后重试。',
  too_many_video_publishers: '摄像头数量已达上限，请其他成员先关闭摄像头。',
  too_many_audio_publishers: '麦克风数量已达上限，请其他成员先静音。',
  user_sig_expired: '登录票据已过期，请重新获取。',
  try_later: '服务器暂时不可用，请稍后再试。',
  insecure_page: '浏览器只允许 HTTPS 或 localhost 页面使用设备。',
};

export class Texts {
  readonly language: 'en' | 'zh';

  /** The first language of the list that there is. */
  constructor(wanted: readonly (string | null)[]) {
    const found = wanted.map((tag) => tag?.toLowerCase().split('-')[0]).find((tag) => tag === 'en' || tag === 'zh');
    this.language = found === 'zh' ? 'zh' : 'en';
  }

  /** `{0}`, `{1}` … are replaced. */
  t(key: Key, ...values: (string | number)[]): string {
    return fill((this.language === 'zh' ? zh : en)[key], values);
  }

  error(name: string, message: string): string {
    return this.language === 'zh' ? zhErrors[name] ?? message : message;
  }
}

/** `1:02:03`, `2:03`. */
export function clock(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
