// Answers of the public API for the console's screens, without a server: the same each time, empty, failing, or of 10,000 rooms.

export const APPLICATION = 1400000011;
/** Unix seconds: the pages of these tests are at this time. */
export const NOW = 1_790_000_000;

const ACTIONS = {
  ListRooms: ['Search', 'After', 'PageSize'], ListMembers: ['Room'], ListMixes: ['Search', 'After'], ListStreams: ['Search', 'After'], ListCallbacks: ['State'],
  ReplayCallback: [], ListNodes: [], SearchMedia: ['Text'], DeleteMedia: [], DescribeUsage: [], DescribeRoomInfo: [], DescribeUserInfo: [], DescribeCallDetailInfo: [],
  StartMCUMixTranscode: [], StopMCUMixTranscode: [], SetMemberPermissions: [], RemoveUser: [], DismissRoom: [], ListApplications: [], ListApiKeys: [], ListRunningRecordings: [], ModifyApplication: ['Settings'],
  SetWaitingRoom: [], ListWaitingUsers: ['After'], AnswerWaitingUsers: [], DrainNode: [], ResumeNode: [],
};

export const SESSION = {
  user: 'admin', isAdmin: true, applications: [APPLICATION, APPLICATION + 1], scopes: ['mix', 'rooms', 'moderate', 'recordings', 'live', 'usage', 'admin'],
  expires: NOW + 43_200, version: '0.1.0',
};

export const DESCRIPTION = {
  info: { version: '0.1.0' },
  paths: Object.fromEntries(Object.entries(ACTIONS).map(([action, fields]) => [`/v1/${action}`, {
    post: { requestBody: { content: { 'application/json': { schema: { properties: Object.fromEntries(fields.map((field) => [field, {}])) } } } } },
  }])),
};

export function manyRooms(count) {
  return Array.from({ length: count }, (_, index) => ({
    Room: String(100_000 + index), Members: 2 + (index % 40), Publishers: 1 + (index % 6), CreateTime: NOW - 60 - index, MediaNode: `sfu-${index % 8}`,
  }));
}

/** As the server pages: `After` is the last room of the page before. */
export function pageOfRooms(rooms, { Search = '', After, PageSize = 50 }) {
  const found = rooms.filter(({ Room }) => Room.includes(Search) && (After === undefined || Room > After));
  const page = found.slice(0, PageSize);
  return {
    Rooms: page, Next: found.length > page.length ? page.at(-1).Room : undefined,
    Total: rooms.filter(({ Room }) => Room.includes(Search)).length, TotalMembers: rooms.reduce((sum, { Members }) => sum + Members, 0),
  };
}

const health = { Inputs: 4, LiveVideos: 3, Fps: 15, VideoKbps: 1480, AudioKbps: 96, LateTicks: 0, LateAudio: 0, ShedFrames: 0, EncoderFailures: 0, ProgramSeconds: 3725 };
const calls = ['1001', '1002', 'lesson-7'].map((RoomString, index) => ({
  CommId: `call-${index}`, RoomString, CreateTime: NOW - 7200 - 600 * index, DestroyTime: NOW - 600 * index, IsFinished: index > 0, UserId: 'ann',
}));
const stays = ['ann', 'bob', 'cat', 'dora'].map((UserId, index) => ({
  UserId, JoinTs: NOW - 7200 + 900 * index, LeaveTs: index === 2 ? NOW - 1800 : NOW, Finished: index === 2,
}));
/** The quality of a member every 10 seconds: `bad` of the first 30 of them; a member who was away has a hole. */
function quality(UserId, { from, to, bad = false, away = false, listens = false }) {
  const times = Array.from({ length: Math.floor((to - from) / 10) }, (_, index) => from - (from % 10) + 10 * (index + 1)).filter((_, index) => !away || index < 30 || index > 50);
  const series = (DataType, value) => ({ UserId, PeerId: '', DataType, Content: times.map((Time, index) => ({ Time, Value: value(index, bad && index < 30) })) });
  const rtt = series('rtt', (index, isBad) => (isBad ? 380 + 10 * (index % 7) : 38 + (index % 5)));
  if (listens) return [rtt];
  return [rtt, series('aBit', (index) => 32_000 + 200 * (index % 9)), series('bigvBit', (index, isBad) => (isBad ? 240_000 : 1_250_000) + 9000 * (index % 11)),
    series('aLoss', (index, isBad) => (isBad ? 4 + (index % 3) : 0)), series('bigvLoss', (index, isBad) => (isBad ? 7 + (index % 4) : Number(index % 17 === 0))), series('bigvHeight', (_, isBad) => (isBad ? 180 : 720))];
}
const days = Array.from({ length: 7 }, (_, index) => new Date((NOW - 86_400 * (6 - index)) * 1000).toISOString().slice(0, 10));
const file = (FileId, Name, ending, more = {}) => ({
  FileId, BasicInfo: { Name, CreateTime: new Date((NOW - 3600) * 1000).toISOString(), MediaUrl: `http://localhost/recordings/${Name}.${ending}`, Status: 'Normal', Type: 'Video',
    SourceInfo: { TrtcRecordInfo: { RoomId: '1001' } }, ...more },
  MetaData: { Duration: 3725, Size: 734_003_200, Width: 1280, Height: 720, Bitrate: 1_576_000 },
});
/** A frame, two pixels of it. */
const POSTER = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 9'%3E%3Crect width='8' height='9' fill='%232c6e63'/%3E%3Crect x='8' width='8' height='9' fill='%23b3392f'/%3E%3C/svg%3E";

/** Rooms of cameras. */
const DEVICES = ['iv:cam_back', 'iv:cam_front', 'iv:doorbell_main-entrance'].map((Room, index) => ({ Room, Members: 1 + index, Publishers: 1, CreateTime: NOW - 86_400 * index - 60, MediaNode: 'sfu-0' }));

/** The first one is away. */
function deviceMembers(room) {
  const index = DEVICES.findIndex(({ Room }) => Room === room);
  if (index < 0) return undefined;
  const UserId = room.slice(3);
  const device = { UserId, JoinTime: NOW - 86_400 * index, Node: 'sfu-0', Tracks: [{ Source: 'audio', State: index > 1 ? 'muted' : 'on' }, { Source: 'camera', State: 'on' }] };
  const second = { UserId: `${UserId}-1`, JoinTime: NOW - 600, Node: 'sfu-0', Tracks: [{ Source: 'camera', State: 'on' }] };
  return { Total: 3, Members: [{ UserId: 'ann', JoinTime: NOW - 60, Node: 'sfu-1', Tracks: [] }, ...index > 0 ? [device] : [], ...index > 1 ? [second] : []] };
}

const FULL = {
  ListRooms: (asked) => pageOfRooms([
    { Room: '1001', Members: 1250, Publishers: 4, CreateTime: NOW - 7200, MediaNode: 'sfu-0' },
    { Room: '1002', Members: 3, Publishers: 3, CreateTime: NOW - 600, MediaNode: 'sfu-1' },
    { Room: 'lesson-7', Members: 28, Publishers: 1, CreateTime: NOW - 90, MediaNode: 'sfu-1' },
    ...asked.Search?.startsWith('iv:') ? DEVICES : [],
  ], asked),
  ListMembers: ({ Room }) => deviceMembers(Room) ?? ({ Total: 1250, Members: [
    { UserId: 'ann', JoinTime: NOW - 7200, Node: 'sfu-0', Tracks: [{ Source: 'audio', State: 'on' }, { Source: 'camera', State: 'on' }, { Source: 'screen', State: 'on' }] },
    { UserId: 'bob', JoinTime: NOW - 6300, Node: 'sfu-0', Tracks: [{ Source: 'audio', State: 'muted' }, { Source: 'camera', State: 'on' }] },
    { UserId: 'dora', JoinTime: NOW - 4500, Node: 'sfu-1', Tracks: [] },
  ] }),
  ListWaitingUsers: () => ({ Required: true, Total: 2, Users: [{ UserId: 'emil', Since: NOW - 340 }, { UserId: 'frida', Since: NOW - 20 }] }),
  ListMixes: () => ({ Total: 2, Mixes: [
    { MixId: 'm1', Room: '1001', StreamId: 'mix-1001', Origin: 'api', StartedBy: 'api', Runs: true, Node: 'mcu-0', Revision: 3, Width: 1280, Height: 720, IsRecorded: true,
      MissingInputs: [{ UserId: 'cat', Source: 'camera', Codec: 'H265' }], Health: health },
    { MixId: 'm2', Room: 'lesson-7', StreamId: 'lesson-7_main', Origin: 'client', StartedBy: 'ann', Runs: false, Revision: 1, Width: 0, Height: 0, IsRecorded: false, MissingInputs: [] },
  ] }),
  ListStreams: () => ({ Total: 2, Streams: [
    { StreamId: 'mix-1001', Room: '1001', StartTime: NOW - 3725, Width: 1280, Height: 720, IsRecorded: true, IsPlayable: true, Pushes: ['live.example.com'], Node: 'mcu-0' },
    { StreamId: 'bob_main', Room: '1002', UserId: 'bob', StartTime: NOW - 500, Width: 640, Height: 360, IsRecorded: false, IsPlayable: true, Pushes: [], Node: 'sfu-1' },
  ] }),
  ListCallbacks: ({ State, PageSize }) => {
    const all = [
      { CallbackId: 'c1', Room: '1001', Receiver: 'https://app.example.com/hook', State: 'delivered', Attempts: 1, CreateTime: NOW - 300, Body: '{"EventType":311}' },
      { CallbackId: 'c2', Room: '1002', Receiver: 'https://app.example.com/hook', State: 'failed', Attempts: 8, CreateTime: NOW - 4000, LastError: 'the receiver answered 502', Body: '{}' },
      { CallbackId: 'c3', Room: '1002', Receiver: 'https://app.example.com/hook', State: 'waiting', Attempts: 2, CreateTime: NOW - 60, NextAttemptTime: NOW + 30, LastError: 'connection refused', Body: '{}' },
    ].filter((one) => !State || one.State === State);
    return { Callbacks: all.slice(0, PageSize), Total: all.length };
  },
  ListNodes: () => ({
    SfuNodes: [{ Node: 'sfu-0', Sessions: 1250, Capacity: 2000, LoadPercent: 74, IsFull: false }, { Node: 'sfu-1', Sessions: 31, Capacity: 2000, LoadPercent: 3, IsFull: false }],
    MixNodes: [{ Node: 'mcu-0', TasksLeft: 11, MillicoresLeft: 5400 }],
  }),
  SearchMedia: () => ({ TotalCount: 2, MediaInfoSet: [file('f1', 'lesson_2026-09-21', 'mp4', { CoverUrl: POSTER }), file('f2', 'lesson_2026-09-21', 'm3u8')] }),
  DescribeUsage: () => ({ Rows: days.flatMap((Day, index) => [
    { Day, Measure: 'anchor_ms', Amount: 3_600_000 * (2 + index) }, { Day, Measure: 'audience_ms', Amount: 36_000_000 * (1 + (index % 3)) },
    { Day, Measure: 'members_peak', Amount: 400 + 120 * index }, { Day, Measure: 'mix_hd_ms', Amount: 1_800_000 * index },
  ]) }),
  DescribeRoomInfo: ({ RoomId }) => {
    const found = calls.filter(({ RoomString }) => RoomId === undefined || RoomString === String(RoomId));
    return { Total: found.length, RoomList: found };
  },
  DescribeUserInfo: () => ({ Total: stays.length, UserList: stays }),
  DescribeCallDetailInfo: ({ UserIds = [], StartTime, EndTime }) => {
    const asked = UserIds.length > 0 ? stays.filter(({ UserId }) => UserIds.includes(UserId)) : stays;
    const of = { ann: {}, bob: { bad: true }, cat: { away: true }, dora: { listens: true } };
    return { Total: asked.length, UserList: asked, Data: asked.flatMap(({ UserId }) => quality(UserId, { from: StartTime, to: EndTime, ...of[UserId] })) };
  },
  ListRunningRecordings: () => ({ Total: 4, Recordings: [
    { RecordingId: 'r1', StreamId: 'mix-1001', Room: '1001', State: 'recording', StartTime: NOW - 3725, Size: 734_003_200, Files: 2, FilesMade: 0, Gaps: [] },
    { RecordingId: 'r2', StreamId: 'bob_main', Room: '1002', UserId: 'bob', State: 'no_video', StartTime: NOW - 500, Size: 4_100_000, Files: 3, FilesMade: 1,
      Gaps: [{ StartTimeMs: (NOW - 400) * 1000, EndTimeMs: (NOW - 330) * 1000, Reason: 'publisher_muted', Track: 'video' }, { StartTimeMs: (NOW - 90) * 1000, EndTimeMs: (NOW - 60) * 1000, Reason: 'paused' }] },
    { RecordingId: 'r3', StreamId: 'lesson-7_main', Room: 'lesson-7', State: 'finishing', StartTime: NOW - 900, Files: 3, FilesMade: 1, Gaps: [] },
    { RecordingId: 'r4', StreamId: 'lesson-6_main', Room: 'lesson-6', State: 'uploading', StartTime: NOW - 5000, Size: 90_000_000, Files: 1, FilesMade: 1, Uploaded: 36_000_000, UploadSize: 90_000_000, Gaps: [] },
  ] }),
  ListApplications: () => ({ Applications: [
    { SdkAppId: APPLICATION, Name: 'school', Origin: 'database', Revision: 4, CreateTime: NOW - 864_000, Secrets: [{ Purpose: 'user_sig', CreateTime: NOW - 864_000, IsEarlier: false }],
      Settings: { StreamProfiles: [{ Platform: 'web', Role: 'anchor', Codec: 'h264', Width: 1280, Height: 720, Framerate: 30, Bitrate: 1500, Layers: 2 }, { Height: 360, Layers: 1 }, { Platform: 'ios', Codec: 'vp8' }] } },
    { SdkAppId: APPLICATION + 1, Name: '', Origin: 'configuration', Secrets: [], Settings: { Disabled: true } },
  ] }),
  ListApiKeys: () => ({ ApiKeys: [{ SecretId: 'AKIDschool', SdkAppId: APPLICATION, Name: 'back end', Scopes: ['mix', 'rooms'], CreateTime: NOW - 864_000 }] }),
};

const EMPTY = {
  ...Object.fromEntries(Object.keys(ACTIONS).map((action) => [action, () => ({})])),
  ListRooms: () => ({ Rooms: [], Total: 0, TotalMembers: 0 }), ListMembers: () => ({ Total: 0, Members: [] }), ListMixes: () => ({ Mixes: [], Total: 0 }),
  ListStreams: () => ({ Streams: [], Total: 0 }), ListCallbacks: () => ({ Callbacks: [], Total: 0 }), ListNodes: () => ({ SfuNodes: [], MixNodes: [] }),
  SearchMedia: () => ({ TotalCount: 0, MediaInfoSet: [] }), DescribeUsage: () => ({ Rows: [] }), DescribeRoomInfo: () => ({ Total: 0, RoomList: [] }),
  DescribeUserInfo: () => ({ Total: 0, UserList: [] }), DescribeCallDetailInfo: () => ({ Total: 0, UserList: [], Data: [] }),
  ListWaitingUsers: () => ({ Required: false, Users: [], Total: 0 }),
  ListRunningRecordings: () => ({ Recordings: [], Total: 0 }), ListApplications: () => ({ Applications: [] }), ListApiKeys: () => ({ ApiKeys: [] }),
};

/** Of a server whose bus is away. */
export const REFUSED = { status: 503, body: { error: { code: 'ResourceUnavailable', message: 'the bus does not answer' }, RequestId: 'a1b2c3d4' } };

/** Answers the page's requests. `scenario`: `full`, `empty` or `failing`; `more`: answers of single actions; one with a `status` is an error. Returns the number of calls by action. */
export async function answerConsole(page, scenario = 'full', more = {}) {
  const calls = {};
  const answers = { ...scenario === 'empty' ? EMPTY : FULL, ...more };
  const reply = (route, body, status = 200) => route.fulfill({ status, contentType: 'application/json', body: JSON.stringify(body) });
  await page.route('**/console/session', (route) => reply(route, SESSION));
  await page.route('**/openapi.json', (route) => reply(route, DESCRIPTION));
  await page.route('**/v1/*', async (route) => {
    const action = new URL(route.request().url()).pathname.split('/').pop();
    calls[action] = (calls[action] ?? 0) + 1;
    if (scenario === 'failing') return reply(route, REFUSED.body, REFUSED.status);
    const found = await answers[action]?.(route.request().postDataJSON() ?? {}) ?? {};
    return found.status ? reply(route, found.body, found.status) : reply(route, found);
  });
  return calls;
}
