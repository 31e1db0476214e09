//! The C interface, checked by C programs: names, numbers and layout, and what the functions answer.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use std::time::Duration;

use rotunda_device::abi::*;
use rotunda_proto::clock::Clock;
use rotunda_proto::user_sig;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compiles a C file of `tests/c` in strict mode and answers with the program.
fn compile(name: &str, language: &[&str], extra: &[&str]) -> PathBuf {
    let out = std::env::temp_dir().join(format!("iv-{name}-{}-{}", language.join(""), std::process::id()));
    let own = std::env::temp_dir().join(format!("iv-include-{}", std::process::id()));
    std::fs::create_dir_all(&own).unwrap();
    let ticket = format!("#define TICKET \"{}\"\n", ticket());
    std::fs::write(own.join("test_ticket.h"), ticket).unwrap();
    let source = folder().join("tests/c").join(format!("{name}.c"));
    let built = Command::new(language[0])
        .args(&language[1..])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(folder().join("include"))
        .arg("-I")
        .arg(&own)
        .arg(source)
        .args(["-x", "none"])
        .args(extra)
        .arg("-o")
        .arg(&out)
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", language[0]));
    assert!(built.status.success(), "{}", text(&built));
    out
}

/// A UserSig of the user `cam_front`, with a key of its own.
fn ticket() -> String {
    let app = 1_400_000_001_u32.try_into().unwrap();
    let life = Duration::from_secs(3600);
    user_sig::sign(
        app,
        "only for this test",
        &"cam_front".parse().unwrap(),
        Clock.unix(),
        life,
    )
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn run(program: &Path) -> String {
    let output = Command::new(program).output().unwrap();
    let _temporary = std::fs::remove_file(program);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

macro_rules! layouts {
    ($($rust:ident $c:literal { $($member:ident $name:literal),* })*) => {{
        let mut lines = Vec::new();
        $(
            lines.push(format!("{} {}", $c, size_of::<$rust>()));
            $(lines.push(format!("{}.{} {}", $c, $name, std::mem::offset_of!($rust, $member)));)*
        )*
        lines
    }};
}

fn ours() -> Vec<String> {
    layouts! {
        AudioPack "iv_cm_aenc_pack_s" { address "pu8Addr", length "u32Len", pts "u64PTS", seq "u32Seq" }
        AudioStream "iv_cm_aenc_stream_s" { packs "pstAencPack", count "u32PackCount" }
        VideoPack "iv_cm_venc_pack_s" { address "pu8Addr", length "u32Len", pts "u64PTS", frame_type "eFrameType", seq "u32Seq" }
        VideoStream "iv_cm_venc_stream_s" { count "u32PackCount" }
        AvStream "iv_cm_avenc_stream_s" { audio "stAencStream", video "stVencStream" }
        AvDataInfo "iv_cm_av_data_info_s" { audio_type "eAudioType", aac_type "u32AudioCodecOption", audio_mode "eAudioMode", bit_width "eAudioBitWidth", sample_rate "eAudioSampleRate", samples_per_frame "u32SampleNumPerFrame", video_type "eVideoType", width "u32VideoWidth", height "u32VideoHeight", framerate "u32Framerate", reserve "u32Reserve" }
        Memory "iv_cm_memory_s" { buf "buf", size "size", free "buf_free_fn" }
        TimeFragment "iv_cm_time_fragment_s" { kind "type", begin "begin_time_s", end "end_time_s" }
        FragmentList "iv_cm_pb_list_s" { count "count", list "file_list" }
        QueryMonth "iv_cm_query_rd_by_month_s" { year "year", month "month", kind "type", days "day" }
        QueryDay "iv_cm_query_rd_by_day_s" { fragment "time_fragment", free "free_fn", array "rd_array" }
        FileInfo "iv_cm_file_info_s" { kind "file_type", name "file_name", size "file_size", begin "begin_time_s", end "end_time_s", extra "extra_info" }
        FileList "iv_cm_file_list_s" { list "file_list" }
        QueryFiles "iv_cm_query_file_list_s" { fragment "time_fragment", free "free_fn", array "file_array" }
        DownloadParam "iv_cm_download_param_s" { name "file_name", offset "file_offset" }
        Seek "iv_cm_pb_seek_s" {  }
        FastForward "iv_cm_pb_ff_s" {  }
        Speed "iv_cm_pb_speed_s" {  }
        Rewind "iv_cm_pb_rewind_s" { end "end_time_s" }
        UserData "iv_avt_usr_data_parm_s" { src "src", src_len "src_len", dst "dst" }
        ReqStream "iv_avt_req_stream_param_s" { request "request_type", result "request_result" }
        ChannelName "iv_avt_chn_name_param_s" { name "name", is_online "is_online" }
        Congestion "congestion_ctrl_s" { low_mark "low_mark", warn_mark "warn_mark", high_mark "high_mark", enable "enable" }
        KeepAlive "p2p_keep_alive_s" { interval_s "time_inter_s", max_attempts "max_attempt_num" }
        SendStats "iv_p2p_send_stats_s" { inst_net_rate "inst_net_rate", ave_sent_rate "ave_sent_rate", sum_sent_acked "sum_sent_acked", link_mode "link_mode" }
        P2pInit "p2p_init_params_s" { log_level "log_level", log_file_path "log_file_path", log_file_size "log_file_size", mtu_size "mtu_size", nic_type "nic_type", sender_interval_ms "sender_interval_ms", keepalive_interval_s "keepalive_interval_s", access_retry_times "access_retry_times", protocol "protocol" }
        LocalNet "local_net_info_s" { probe_port "probe_port", trans_port "trans_port", local_addr "local_addr", vendor_id "vendor_id", device_id "device_id" }
        InitParm "iv_avt_init_parm_s" { max_frame_size "max_frame_size", max_connect_num "max_connect_num", get_av_enc_info "iv_avt_get_av_enc_info_cb", start_real_play "iv_avt_start_real_play_cb", stop_real_play "iv_avt_stop_real_play_cb", start_recv_stream "iv_avt_start_recv_stream_cb", stop_recv_stream "iv_avt_stop_recv_stream_cb", recv_stream "iv_avt_recv_stream_cb", recv_user_data "iv_avt_recv_user_data_cb", notify "iv_avt_notify_cb", recv_command "iv_avt_recv_command_cb", download_file "iv_avt_download_file_cb", congestion "congestion", keep_alive "p2p_keep_alive", p2p "p2p_init_params", net_info "net_info" }
        SysDeviceInfo "iv_sys_device_info" { product_id "product_id", device_name "device_name", region "region", product_secret "product_secret", device_key "device_key" }
        SysInitParm "iv_sys_init_parm_s" { device_info "device_info", command_timeout "command_timeout", auto_connect_enable "auto_connect_enable", max_channel_num "max_channel_num", online "iv_sys_online_cb", offline "iv_sys_offline_cb", os_impl "os_impl_cb" }
    }
}

const C99: &[&str] = &["gcc", "-std=c99"];
const CPP: &[&str] = &["g++", "-std=c++11", "-x", "c++"];

#[test]
fn the_headers_are_c99_and_cpp_with_the_contracts_numbers_and_our_layout() {
    for language in [C99, CPP] {
        let told = run(&compile("layout", language, &[]));
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(told, ours(), "{language:?}");
    }
}

/// The library as a C program links it.
fn library() -> PathBuf {
    // target/debug/deps/c_interface-… -> target/debug
    let own = std::env::current_exe().unwrap();
    let built = own.parent().and_then(Path::parent).unwrap();
    [
        built.join("librotunda_device.so"),
        built.join("deps/librotunda_device.so"),
    ]
    .into_iter()
    .find(|path| path.exists())
    .expect("cargo builds the shared library with the tests")
}

fn linked(name: &str) -> PathBuf {
    let library = library();
    let search = format!("-Wl,-rpath,{}", library.parent().unwrap().display());
    compile(name, C99, &[library.to_str().unwrap(), &search, "-lpthread", "-lm"])
}

#[test]
fn every_function_answers_wrong_calls_with_its_error_and_the_program_goes_on() {
    run(&linked("answers"));
}

#[test]
fn exit_in_any_state_leaves_no_thread_socket_or_byte() {
    let program = linked("exits");
    let checked = Command::new("valgrind")
        .args([
            "--quiet",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect,possible",
        ])
        .args(["--error-exitcode=9", "--child-silent-after-fork=yes"])
        .arg(&program)
        .output()
        .expect("valgrind is installed (scripts/setup)");
    let _temporary = std::fs::remove_file(&program);
    assert!(checked.status.success(), "{}", text(&checked));
    assert!(checked.stderr.is_empty(), "valgrind is silent: {}", text(&checked));
}
