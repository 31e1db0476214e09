//! The C interface's types: layout, names and numbers of `include/*.h`, which `tests/c/layout.c` compares with these.
//!
//! C enumerations are plain numbers here: a program may pass any.

use std::ffi::{c_char, c_int, c_void};

/// A C enumeration.
pub type Enum = c_int;

/// `IV_ERR_*`.
pub mod err {
    use std::ffi::c_int;

    pub const NONE: c_int = 0;
    pub const SYS_INIT_PRM_NULL: c_int = -100;
    pub const SYS_INIT_PRM_RANGE: c_int = -101;
    pub const SYS_STATE_ERROR: c_int = -102;
    pub const SYS_NOT_SUPPORTED: c_int = -103;
    pub const SYS_FAILED: c_int = -104;
    pub const INIT_PRM_NULL: c_int = -300;
    pub const INIT_CB_NULL: c_int = -301;
    pub const INIT_PRM_RANGE: c_int = -302;
    pub const SEND_STREAM_TOO_BIG: c_int = -304;
    pub const CHN_NOT_EXIT: c_int = -305;
    pub const NEED_IDR_FRAME: c_int = -306;
    pub const MALLOC_BUFFER_FAILED: c_int = -307;
    pub const FAILED: c_int = -308;
    pub const INPUT_PARAM_NULL: c_int = -309;
    pub const INPUT_PARAM_INVALID: c_int = -310;
    pub const SEND_DATA_TIMEOUT: c_int = -311;
    pub const STATE_ERROR: c_int = -312;
    pub const VIDEO_DATA_ERROR: c_int = -313;
    pub const DEVICE_OFFLINE: c_int = -1001;
}

pub const STREAM_TYPE_AUDIO: Enum = 0;
pub const STREAM_TYPE_VIDEO: Enum = 1;
pub const STREAM_TYPE_AV: Enum = 2;

pub const DEV_ACCEPT: Enum = 0;
pub const DEV_REFUSE: Enum = 1;

pub const REQUEST_SEND_STREAM: Enum = 0;
pub const REQUEST_RECV_STREAM: Enum = 1;

pub const VIDEO_RES_PB: Enum = 3;

pub const DOWNLOAD_START: Enum = 0;
pub const DOWNLOAD_RUNNING: Enum = 1;
pub const DOWNLOAD_STOP: Enum = 2;

pub const EVENT_PEER_READY: Enum = 0;
pub const EVENT_PEER_CONNECT_FAIL: Enum = 1;
pub const EVENT_PEER_ERROR: Enum = 2;
pub const EVENT_PEER_ADDR_CHANGED: Enum = 3;
pub const EVENT_WATERMARK_LOW: Enum = 4;
pub const EVENT_WATERMARK_WARN: Enum = 5;
pub const EVENT_WATERMARK_HIGH: Enum = 6;
pub const EVENT_LOCAL_NET_READY: Enum = 7;

pub const COMMAND_USR_DATA: Enum = 0;
pub const COMMAND_REQ_STREAM: Enum = 1;
pub const COMMAND_CHN_NAME: Enum = 2;
pub const COMMAND_REQ_IFRAME: Enum = 3;
pub const COMMAND_PAUSE: Enum = 4;
pub const COMMAND_RESUME: Enum = 5;
pub const COMMAND_QUERY_MONTH: Enum = 6;
pub const COMMAND_QUERY_DAY: Enum = 7;
pub const COMMAND_SEEK: Enum = 8;
pub const COMMAND_FF: Enum = 9;
pub const COMMAND_SPEED: Enum = 10;
pub const COMMAND_REWIND: Enum = 11;
pub const COMMAND_QUERY_FILE_LIST: Enum = 13;

pub const AENC_PCM: Enum = 0;
pub const AENC_G711A: Enum = 1;
pub const AENC_G711U: Enum = 2;
pub const AENC_AAC: Enum = 4;
pub const AENC_OPUS: Enum = 100;
pub const AAC_LC: Enum = 2;
pub const BIT_WIDTH_16: Enum = 1;
pub const MODE_STEREO: Enum = 1;

pub const VENC_H264: Enum = 0;
pub const VENC_H265: Enum = 1;

pub const FRAME_I: Enum = 0;
pub const FRAME_P: Enum = 1;

pub const P2P_TCP: Enum = 1;

pub const LINK_INVALID: u32 = 0;
pub const LINK_DIRECT: u32 = 1;
pub const LINK_RELAYED: u32 = 2;

pub const FILE_NAME_LENGTH: usize = 128;
pub const PATH_LENGTH: usize = 128;
const MAX_PACKS: usize = 8;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct AudioPack {
    pub address: *mut u8,
    pub length: u32,
    pub pts: u64,
    pub seq: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct AudioStream {
    pub packs: [*mut AudioPack; MAX_PACKS],
    pub count: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct VideoPack {
    pub address: *mut u8,
    pub length: u32,
    pub pts: u64,
    pub frame_type: Enum,
    pub seq: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct VideoStream {
    pub packs: [*mut VideoPack; MAX_PACKS],
    pub count: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct AvStream {
    pub audio: AudioStream,
    pub video: VideoStream,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AvDataInfo {
    pub audio_type: Enum,
    pub aac_type: Enum,
    pub audio_mode: Enum,
    pub bit_width: Enum,
    pub sample_rate: Enum,
    pub samples_per_frame: u32,
    pub video_type: Enum,
    pub width: u32,
    pub height: u32,
    pub framerate: u32,
    pub reserve: [u32; 4],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Memory {
    pub buf: *mut u8,
    pub size: usize,
    pub free: Option<unsafe extern "C" fn(*mut u8, usize)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            buf: std::ptr::null_mut(),
            size: 0,
            free: None,
        }
    }
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeFragment {
    pub kind: u32,
    pub begin: u64,
    pub end: u64,
}

/// With `count` fragments behind it.
#[repr(C)]
pub struct FragmentList {
    pub count: u32,
    pub list: [TimeFragment; 0],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct QueryMonth {
    pub year: u32,
    pub month: u32,
    pub kind: u32,
    pub days: u32,
}

#[repr(C)]
pub struct QueryDay {
    pub fragment: TimeFragment,
    pub free: Option<unsafe extern "C" fn(*mut c_void)>,
    pub array: *mut FragmentList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FileInfo {
    pub kind: Enum,
    pub name: [c_char; FILE_NAME_LENGTH],
    pub size: u32,
    pub begin: u32,
    pub end: u32,
    pub extra: Memory,
}

/// With `count` files behind it.
#[repr(C)]
pub struct FileList {
    pub count: u32,
    pub list: [FileInfo; 0],
}

#[repr(C)]
pub struct QueryFiles {
    pub fragment: TimeFragment,
    pub free: Option<unsafe extern "C" fn(*mut c_void)>,
    pub array: *mut FileList,
}

#[repr(C)]
pub struct DownloadParam {
    pub name: [c_char; FILE_NAME_LENGTH],
    pub offset: c_int,
}

#[repr(C)]
pub struct Seek {
    pub time_ms: u64,
}

#[repr(C)]
pub struct FastForward {
    pub speed: u32,
}

#[repr(C)]
pub struct Speed {
    pub time_ms: u32,
}

#[repr(C)]
pub struct Rewind {
    pub begin: u64,
    pub end: u64,
}

#[repr(C)]
pub struct UserData {
    pub src: *mut c_char,
    pub src_len: u32,
    pub dst: Memory,
}

#[repr(C)]
pub struct ReqStream {
    pub request: Enum,
    pub result: Enum,
}

#[repr(C)]
pub struct ChannelName {
    pub name: Memory,
    pub is_online: u8,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Congestion {
    pub low_mark: usize,
    pub warn_mark: usize,
    pub high_mark: usize,
    /// `bool` of C: any byte that is not zero.
    pub enable: u8,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    pub interval_s: u8,
    pub max_attempts: u8,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendStats {
    pub inst_net_rate: u32,
    pub ave_sent_rate: u32,
    pub sum_sent_acked: u64,
    pub link_mode: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct P2pInit {
    pub log_level: Enum,
    pub log_file_path: *const c_char,
    pub log_file_size: u32,
    pub mtu_size: u32,
    pub nic_type: Enum,
    pub sender_interval_ms: u32,
    pub keepalive_interval_s: u32,
    pub access_retry_times: u32,
    pub protocol: Enum,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct LocalNet {
    pub probe_port: c_int,
    pub trans_port: c_int,
    pub local_addr: [c_char; 64],
    pub vendor_id: *mut c_char,
    pub device_id: *mut c_char,
}

pub type GetEncInfo = unsafe extern "C" fn(u32, u32, Enum, *mut AvDataInfo);
pub type StartRealPlay = unsafe extern "C" fn(u32, u32, Enum, *mut c_void);
pub type StopRealPlay = unsafe extern "C" fn(u32, u32, Enum);
pub type StartRecvStream = unsafe extern "C" fn(u32, u32, *mut AvDataInfo) -> c_int;
pub type StopRecvStream = unsafe extern "C" fn(u32, u32, Enum) -> c_int;
pub type RecvStream = unsafe extern "C" fn(u32, u32, Enum, *mut c_void) -> c_int;
pub type RecvUserData = unsafe extern "C" fn(u32, u32, *const c_char, u32, *mut Memory);
pub type Notify = unsafe extern "C" fn(Enum, u32, u32, Enum);
pub type RecvCommand = unsafe extern "C" fn(Enum, u32, u32, Enum, *mut c_void) -> c_int;
pub type DownloadFile = unsafe extern "C" fn(Enum, u32, u32, *mut c_void) -> c_int;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct InitParm {
    pub max_frame_size: u32,
    pub max_connect_num: u32,
    pub get_av_enc_info: Option<GetEncInfo>,
    pub start_real_play: Option<StartRealPlay>,
    pub stop_real_play: Option<StopRealPlay>,
    pub start_recv_stream: Option<StartRecvStream>,
    pub stop_recv_stream: Option<StopRecvStream>,
    pub recv_stream: Option<RecvStream>,
    pub recv_user_data: Option<RecvUserData>,
    pub notify: Option<Notify>,
    pub recv_command: Option<RecvCommand>,
    pub download_file: Option<DownloadFile>,
    pub congestion: Congestion,
    pub keep_alive: KeepAlive,
    pub p2p: P2pInit,
    pub net_info: LocalNet,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct SysDeviceInfo {
    pub product_id: *const c_char,
    pub device_name: *const c_char,
    pub region: *const c_char,
    pub product_secret: *const c_char,
    pub device_key: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct SysInitParm {
    pub cache_path: [c_char; PATH_LENGTH],
    pub store_path: [c_char; PATH_LENGTH],
    pub dev_info_path: *const c_char,
    pub device_info: *mut SysDeviceInfo,
    pub command_timeout: u32,
    pub keep_alive_ms: u32,
    pub mqtt_ping_interval_ms: u32,
    pub auto_connect_enable: u8,
    pub mqtt_recv_buf_max_size: u32,
    pub mqtt_write_buf_max_size: u32,
    pub max_channel_num: u32,
    pub comm_use_http: u32,
    pub p2p_use_proxy: u32,
    pub online: Option<unsafe extern "C" fn(u64)>,
    pub offline: Option<unsafe extern "C" fn(Enum)>,
    pub module_status: Option<unsafe extern "C" fn(u32)>,
    pub slave_read: Option<unsafe extern "C" fn(*mut u8, u32) -> c_int>,
    pub slave_write: Option<unsafe extern "C" fn(*mut u8, u32) -> c_int>,
    /// The functions of the operating system, which the library does not use.
    pub os_impl: [Option<unsafe extern "C" fn()>; 20],
}
