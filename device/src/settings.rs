//! The arguments of `iv_sys_init` and `iv_avt_init`, checked and copied.

use std::ffi::{CStr, c_char, c_int};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rotunda_proto::ids::{RoomId, SdkAppId, UserId};
use rotunda_proto::user_sig;
use thiserror::Error;

use crate::abi::{self, InitParm, SysInitParm, err};
use crate::pipe::Marks;

/// Most bytes of product and device name together, with the `_` between: what leaves room for `-9` in a user id.
const MAX_USER: usize = UserId::MAX_BYTES - 2;
/// Further members.
const MAX_MEMBERS: usize = 10;
const MAX_VIEWERS: u32 = 32;

/// Why a parameter is refused.
#[derive(Debug, Error)]
pub enum SettingsError {
    #[error("{0} is NULL or empty")]
    Missing(&'static str),
    #[error("{0} is not UTF-8")]
    Text(&'static str),
    #[error(
        "product_id and device_name make the user id {0:?}: letters, digits, `_` and `-`, at most {MAX_USER} bytes together"
    )]
    Name(String),
    #[error("region is {0:?}: it must be the server's WebSocket address, as in wss://rotunda.example.com/ws")]
    Url(String),
    #[error("device_key, ticket {number}: {reason}")]
    Ticket { number: usize, reason: String },
    #[error("device_key has no ticket for the user {0}")]
    NoOwnTicket(UserId),
    #[error("device_key has more than {MAX_MEMBERS} tickets")]
    Tickets,
    #[error("the callback {0} is NULL")]
    Callback(&'static str),
    #[error("{name} is {value}: {allowed}")]
    Range {
        name: &'static str,
        value: String,
        allowed: &'static str,
    },
}

impl SettingsError {
    /// As `iv_sys_init` answers it.
    pub fn system_code(&self) -> c_int {
        match self {
            Self::Missing(_) => err::SYS_INIT_PRM_NULL,
            _ => err::SYS_INIT_PRM_RANGE,
        }
    }

    /// As `iv_avt_init` answers it.
    pub fn avt_code(&self) -> c_int {
        match self {
            Self::Missing(_) => err::INIT_PRM_NULL,
            Self::Callback(_) => err::INIT_CB_NULL,
            _ => err::INIT_PRM_RANGE,
        }
    }
}

/// A member that the device can be.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub app: SdkAppId,
    pub user: UserId,
    pub user_sig: String,
    pub private_map_key: Option<String>,
}

/// Of `iv_sys_init`.
#[derive(Debug, Clone)]
pub struct System {
    pub url: String,
    pub product: String,
    pub name: String,
    pub room: RoomId,
    /// The device's own first.
    pub tickets: Vec<Ticket>,
    pub command_timeout: Duration,
    pub reconnects: bool,
    pub channels: u32,
    /// Whether each channel is asked for its name.
    pub names_channels: bool,
    pub online: Option<unsafe extern "C" fn(u64)>,
    pub offline: Option<unsafe extern "C" fn(abi::Enum)>,
}

impl System {
    /// # Safety
    /// The strings of `parm` are NULL or end with a zero.
    pub unsafe fn read(parm: &SysInitParm) -> Result<Self, SettingsError> {
        // SAFETY: the caller's promise, as for `text` below.
        let info = unsafe { parm.device_info.as_ref() }.ok_or(SettingsError::Missing("device_info"))?;
        // SAFETY: see above.
        let text = |pointer, name| unsafe { required(pointer, name) };
        let product = text(info.product_id, "product_id")?;
        let name = text(info.device_name, "device_name")?;
        let url = text(info.region, "region")?;
        let key = text(info.device_key, "device_key")?;
        if !(url.starts_with("ws://") || url.starts_with("wss://")) || url.len() < 7 {
            return Err(SettingsError::Url(url));
        }
        let user = format!("{product}_{name}");
        if user.len() > MAX_USER {
            return Err(SettingsError::Name(user));
        }
        let user: UserId = user.parse().map_err(|_| SettingsError::Name(user.clone()))?;
        let room = format!("text:iv:{user}");
        let room = room.parse().map_err(|_| SettingsError::Name(user.to_string()))?;
        let tickets = tickets(&key, &user)?;
        Ok(Self {
            url,
            product,
            name,
            room,
            tickets,
            command_timeout: match parm.command_timeout {
                0 => Duration::from_secs(5),
                milliseconds => Duration::from_millis(milliseconds.into()),
            },
            reconnects: parm.auto_connect_enable != 0,
            channels: parm.max_channel_num.max(1),
            names_channels: parm.max_channel_num > 0,
            online: parm.online,
            offline: parm.offline,
        })
    }
}

fn tickets(key: &str, user: &UserId) -> Result<Vec<Ticket>, SettingsError> {
    let mut tickets = Vec::new();
    for (number, text) in (1..).zip(key.split_whitespace()) {
        let (user_sig, private_map_key) = match text.split_once(':') {
            Some((user_sig, key)) => (user_sig, Some(key.to_owned())),
            None => (text, None),
        };
        let claim = user_sig::claim(user_sig).map_err(|error| SettingsError::Ticket {
            number,
            reason: error.to_string(),
        })?;
        let ours = claim.user == *user || is_further_member(&claim.user, user);
        if !ours {
            let reason = format!(
                "it is for the user {}, not for {user} or {user}-1 to {user}-9",
                claim.user
            );
            return Err(SettingsError::Ticket { number, reason });
        }
        tickets.push(Ticket {
            app: claim.app,
            user: claim.user,
            user_sig: user_sig.to_owned(),
            private_map_key,
        });
    }
    let own = tickets.iter().position(|ticket| ticket.user == *user);
    let own = own.ok_or_else(|| SettingsError::NoOwnTicket(user.clone()))?;
    tickets.swap(0, own);
    if tickets.len() > MAX_MEMBERS {
        return Err(SettingsError::Tickets);
    }
    Ok(tickets)
}

fn is_further_member(claimed: &UserId, user: &UserId) -> bool {
    let suffix = claimed.as_str().strip_prefix(user.as_str());
    suffix.is_some_and(|suffix| matches!(suffix.as_bytes(), [b'-', b'1'..=b'9']))
}

/// Of `iv_avt_init`.
#[derive(Debug, Clone)]
pub struct Avt {
    /// Bytes that every send must be below.
    pub max_frame: usize,
    pub max_viewers: u32,
    pub marks: Option<Marks>,
    /// How long a viewer may be silent, and how often it is asked then.
    pub keep_alive: Option<(Duration, u8)>,
    pub log_level: c_int,
    pub log_folder: Option<PathBuf>,
    pub log_size: u32,
    pub mtu: usize,
    pub tcp_only: bool,
    pub attempts_until_told: u32,
    pub local_net: bool,
    pub direct_port: u16,
    pub direct_address: Option<IpAddr>,
    pub vendor: Option<String>,
    pub device: Option<String>,
}

impl Avt {
    /// # Safety
    /// The strings of `parm` are NULL or end with a zero.
    pub unsafe fn read(parm: &InitParm) -> Result<Self, SettingsError> {
        require(parm)?;
        let range = |name, value: &dyn ToString, allowed| SettingsError::Range {
            name,
            value: value.to_string(),
            allowed,
        };
        if !(1..=64 * 1024).contains(&parm.max_frame_size) {
            return Err(range("max_frame_size", &parm.max_frame_size, "1 to 65536 (KB)"));
        }
        if !(1..=MAX_VIEWERS).contains(&parm.max_connect_num) {
            return Err(range("max_connect_num", &parm.max_connect_num, "1 to 32"));
        }
        if parm.keep_alive.max_attempts > 10 {
            let attempts = parm.keep_alive.max_attempts;
            return Err(range("p2p_keep_alive.max_attempt_num", &attempts, "at most 10"));
        }
        let mtu = parm.p2p.mtu_size;
        if mtu != 0 && !(500..=1460).contains(&mtu) {
            return Err(range("p2p_init_params.mtu_size", &mtu, "500 to 1460, or 0"));
        }
        if !(0..=5).contains(&parm.p2p.log_level) {
            return Err(range("p2p_init_params.log_level", &parm.p2p.log_level, "0 to 5"));
        }
        let port = u16::try_from(parm.net_info.trans_port);
        let Ok(direct_port) = port else {
            return Err(range("net_info.trans_port", &parm.net_info.trans_port, "0 to 65535"));
        };
        let c = &parm.congestion;
        let has_marks = c.enable != 0 && (c.low_mark, c.warn_mark, c.high_mark) != (0, 0, 0);
        if has_marks && !(c.low_mark <= c.warn_mark && c.warn_mark <= c.high_mark) {
            let value = format!("{}, {}, {}", c.low_mark, c.warn_mark, c.high_mark);
            return Err(range("congestion", &value, "low_mark <= warn_mark <= high_mark"));
        }
        let keep_alive = &parm.keep_alive;
        let probes = keep_alive.interval_s > 0 && keep_alive.max_attempts > 0;
        // SAFETY: the caller's promise.
        let text = |pointer, name| unsafe { optional(pointer, name) };
        let folder = text(parm.p2p.log_file_path, "p2p_init_params.log_file_path")?;
        Ok(Self {
            max_frame: parm.max_frame_size as usize * 1024,
            max_viewers: parm.max_connect_num,
            marks: has_marks.then_some(Marks {
                low: c.low_mark,
                warn: c.warn_mark,
                high: c.high_mark,
            }),
            keep_alive: probes.then_some((
                Duration::from_secs(keep_alive.interval_s.into()),
                keep_alive.max_attempts,
            )),
            log_level: parm.p2p.log_level,
            log_folder: folder.map(PathBuf::from),
            log_size: match parm.p2p.log_file_size {
                0 => 1024 * 1024,
                size => size,
            },
            mtu: match mtu {
                0 => 1460,
                mtu => mtu as usize,
            },
            tcp_only: parm.p2p.protocol == abi::P2P_TCP,
            attempts_until_told: 3 * match parm.p2p.access_retry_times {
                0 => 10,
                times => times.min(1000),
            },
            local_net: parm.net_info.probe_port != 0 && parm.net_info.trans_port != 0,
            direct_port,
            direct_address: address(&parm.net_info.local_addr)?,
            vendor: text(parm.net_info.vendor_id, "net_info.vendor_id")?,
            device: text(parm.net_info.device_id, "net_info.device_id")?,
        })
    }
}

/// `recv_user_data` is deprecated, and `download_file` is for devices with recordings.
fn require(parm: &InitParm) -> Result<(), SettingsError> {
    let missing = [
        ("iv_avt_get_av_enc_info_cb", parm.get_av_enc_info.is_none()),
        ("iv_avt_start_real_play_cb", parm.start_real_play.is_none()),
        ("iv_avt_stop_real_play_cb", parm.stop_real_play.is_none()),
        ("iv_avt_start_recv_stream_cb", parm.start_recv_stream.is_none()),
        ("iv_avt_stop_recv_stream_cb", parm.stop_recv_stream.is_none()),
        ("iv_avt_recv_stream_cb", parm.recv_stream.is_none()),
        ("iv_avt_notify_cb", parm.notify.is_none()),
        ("iv_avt_recv_command_cb", parm.recv_command.is_none()),
    ];
    match missing.iter().find(|(_, is)| *is) {
        Some((name, _)) => Err(SettingsError::Callback(name)),
        None => Ok(()),
    }
}

fn address(text: &[c_char; 64]) -> Result<Option<IpAddr>, SettingsError> {
    let bytes: Vec<u8> = text
        .iter()
        .map(|byte| byte.cast_unsigned())
        .take_while(|byte| *byte != 0)
        .collect();
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.parse().map(Some).map_err(|_| SettingsError::Range {
        name: "net_info.local_addr",
        value: text,
        allowed: "an IP address, or empty",
    })
}

unsafe fn optional(pointer: *const c_char, name: &'static str) -> Result<Option<String>, SettingsError> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise: the string ends with a zero.
    let text = unsafe { CStr::from_ptr(pointer) };
    let text = text.to_str().map_err(|_| SettingsError::Text(name))?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

unsafe fn required(pointer: *const c_char, name: &'static str) -> Result<String, SettingsError> {
    // SAFETY: the caller's promise.
    unsafe { optional(pointer, name) }?.ok_or(SettingsError::Missing(name))
}
