//! The errors of a wrong start.

use std::net::TcpListener;

use crate::support::{free_ports, rotunda, settings};

#[test]
fn a_taken_port_and_an_unwritable_folder_are_both_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(folder.path(), free_ports());
    let port = taken.local_addr().unwrap().port().to_string();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let recordings = folder.path().join("file/recordings").display().to_string();
    settings.push(("ROTUNDA__SERVER__PORT".to_owned(), port.clone()));
    settings.push(("ROTUNDA__RECORDER__DIRECTORY".to_owned(), recordings));

    let output = rotunda(&["serve"], folder.path(), &settings).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("2 mistake(s)"), "{said}");
    assert!(
        said.contains(&format!("server.port: TCP 0.0.0.0:{port} is taken")),
        "{said}"
    );
    assert!(said.contains("recorder.directory: cannot write in"), "{said}");
}

#[test]
fn a_misspelt_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rotunda.toml"), "[server]\nprot = 80\n").unwrap();
    let output = rotunda(&["serve", "--config", "rotunda.toml"], folder.path(), &[])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("server.prot"), "{said}");
}

#[test]
fn secrets_never_show_in_the_printed_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let app = "[[applications]]\nsdk_app_id = 1\nsecret_key = \"hush\"\nsecret_id = \"AKID1\"\napi_secret = \"hush\"\n";
    std::fs::write(folder.path().join("rotunda.toml"), app).unwrap();
    let output = rotunda(&["config", "--config", "rotunda.toml"], folder.path(), &[])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("AKID1") && said.contains("***") && !said.contains("hush"),
        "{said}"
    );
}

#[test]
fn every_mistake_of_the_applications_is_named_at_once_and_before_a_port_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let applications = "\
        [[applications]]\nsdk_app_id = 1\nsecret_key = \"\"\nsecret_id = \"AKID1\"\napi_secret = \"\"\n\
        [[applications]]\nsdk_app_id = 1\nsecret_key = \"a\"\nsecret_id = \"AKID1\"\napi_secret = \"b\"\n\
        callback_url = \"http://10.0.0.1/\"\n";
    std::fs::write(folder.path().join("rotunda.toml"), applications).unwrap();
    let settings = [(
        "ROTUNDA__RECORDER__NAME_TIME_ZONE".to_owned(),
        "Mars/Olympus".to_owned(),
    )];
    let output = rotunda(&["serve", "--config", "rotunda.toml"], folder.path(), &settings)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("6 mistake(s)"), "{said}");
    for key in [
        "applications[0].secret_key",
        "applications[0].api_secret",
        "applications[1].sdk_app_id",
        "applications[1].secret_id",
        "applications[1].callback_url",
        "recorder.name_time_zone",
    ] {
        assert!(said.contains(&format!("- {key}: ")), "{key}: {said}");
    }
    assert!(!folder.path().join("data").exists(), "nothing has started");
}
