// What the public API answers, as far as the console shows it: see /openapi.json.

export interface Room { Room: string; Members: number; Publishers: number; CreateTime: number; MediaNode: string }
export interface RoomPage { Rooms: Room[]; Next?: string; Total?: number; TotalMembers?: number }

export type Source = 'audio' | 'camera' | 'screen';
export const SOURCES: Source[] = ['audio', 'camera', 'screen'];
export interface Member { UserId: string; JoinTime?: number; Tracks: { Source: Source; State: string }[]; Node: string }
export interface MemberList { Total: number; Members: Member[] }

export interface WaitingUser { UserId: string; Since: number }
export interface WaitingUserList { Required: boolean; Users: WaitingUser[]; Total: number; Next?: string }

export interface Health {
  Inputs: number; LiveVideos: number; Fps: number; VideoKbps: number; AudioKbps: number; LateTicks: number; LateAudio: number;
  ShedFrames: number; EncoderFailures: number; ProgramSeconds: number;
}
export interface Mix {
  MixId: string; Room: string; StreamId: string; Origin: string; StartedBy: string; Runs: boolean; Node?: string; Revision: number;
  Width: number; Height: number; IsRecorded: boolean; MissingInputs: { UserId: string; Source: Source; Codec: string }[]; Health?: Health;
}
export interface MixList { Mixes: Mix[]; Next?: string; Total?: number }

export interface Stream {
  StreamId: string; Room: string; UserId?: string; StartTime: number; Width: number; Height: number; IsRecorded: boolean;
  IsPlayable: boolean; Pushes: string[]; Node: string;
}
export interface StreamList { Streams: Stream[]; Next?: string; Total?: number }

export interface SfuNode { Node: string; Sessions: number; Capacity: number; LoadPercent: number; IsFull: boolean; IsDraining?: boolean }
export interface MixNode { Node: string; TasksLeft: number; MillicoresLeft: number }
export interface NodeList { SfuNodes: SfuNode[]; MixNodes: MixNode[] }

export interface Callback {
  CallbackId: string; Room: string; Receiver: string; Body?: string; State: string; Attempts: number; CreateTime: number;
  NextAttemptTime?: number; LastError?: string;
}
export interface CallbackList { Callbacks: Callback[]; Total: number }

export interface Media {
  FileId: string;
  BasicInfo: { Name: string; CreateTime: string; MediaUrl: string; CoverUrl?: string; Status: string; Type: string; SourceInfo?: { TrtcRecordInfo?: { RoomId: string; UserIds?: string[] }; LiveRecordInfo?: { StreamId: string } } };
  MetaData?: { Duration: number; Size: number; Width: number; Height: number; Bitrate: number };
}
export interface FoundMedia { TotalCount: number; MediaInfoSet: Media[] }

export interface RunningRecording {
  RecordingId: string; StreamId: string; Room: string; UserId?: string; State?: string; StartTime: number; Size?: number; Files: number; FilesMade: number;
  Uploaded?: number; UploadSize?: number; Gaps: { StartTimeMs: number; EndTimeMs: number; Reason: string; Track?: string }[];
}
export interface RunningRecordings { Recordings: RunningRecording[]; Total: number }

export interface Call { CommId: string; RoomString: string; CreateTime: number; DestroyTime: number; IsFinished: boolean; UserId: string }
export interface CallPage { Total: number; RoomList: Call[] }
export interface Stay { UserId: string; JoinTs: number; LeaveTs: number; Finished: boolean }
export interface StayPage { Total: number; UserList: Stay[] }
export interface Quality { UserId: string; PeerId: string; DataType: string; Content: { Time: number; Value: number }[] }
export interface CallDetail extends StayPage { Data: Quality[] }

export interface UsageRow { Day: string; Measure: string; Amount: number }
export interface UsageRows { Rows: UsageRow[] }

/** Who is signed in. */
export interface Session {
  user: string; isAdmin: boolean; applications: number[]; scopes: string[]; expires: number; version: string;
}
