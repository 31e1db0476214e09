//! `rotunda rooms|members|mixes|live|nodes|recordings|usage|callbacks`: the server API over HTTP, here or on another server.

pub mod apps;
mod client;
mod table;

use serde_json::{Value, json};

use crate::cli::{self, Callbacks, Members, Rooms};
use client::{Call, Client};
use table::Column;

/// Rows of a page.
const PAGE: u64 = 500;

pub async fn rooms(command: Rooms) -> anyhow::Result<()> {
    match command {
        Rooms::List(server) => {
            let columns = columns(&["Room", "Members", "Publishers", "CreateTime", "MediaNode"]);
            list(&server, "ListRooms", "Rooms", &columns).await
        }
        Rooms::Dismiss(target) => {
            let path = format!("api/rooms/{}", client::escaped(&target.room.to_string()));
            remove(&target.server, &path, &format!("room {} is empty", target.room)).await
        }
    }
}

pub async fn members(command: Members) -> anyhow::Result<()> {
    match command {
        Members::List(target) => {
            let call = Call::action("ListMembers", json!({ "Room": target.room.to_string() }));
            let columns = columns(&["UserId", "JoinTime", "Tracks", "Node"]);
            show(&target.server, &call, "Members", &columns).await
        }
        Members::Remove(target) => {
            let (room, user) = (&target.room.room, &target.user);
            let path = format!("api/rooms/{}/members/{user}", client::escaped(&room.to_string()));
            remove(&target.room.server, &path, &format!("{user} is not in room {room}")).await
        }
        Members::Permit(permit) => {
            let (room, user) = (&permit.member.room.room, &permit.member.user);
            let parameters = json!({
                "Room": room.to_string(), "UserId": user, "Send": permit.send, "Receive": permit.receive,
            });
            let call = Call::action("SetMemberPermissions", parameters);
            done(
                &permit.member.room.server,
                &call,
                &format!("{user} has these permissions in room {room}"),
            )
            .await
        }
    }
}

pub async fn mixes(server: cli::ApiServer) -> anyhow::Result<()> {
    let mut columns = columns(&["Room", "StreamId", "Origin", "Runs", "Width", "Height"]);
    columns.push(Column::new("Inputs", "/Health/Inputs"));
    columns.push(Column::new("Fps", "/Health/Fps"));
    columns.push(Column::new("Kbps", "/Health/VideoKbps"));
    columns.extend(["IsRecorded", "Node", "MissingInputs"].map(Column::of));
    list(&server, "ListMixes", "Mixes", &columns).await
}

pub async fn live(server: cli::ApiServer) -> anyhow::Result<()> {
    let columns = columns(&[
        "StreamId",
        "Room",
        "UserId",
        "StartTime",
        "Width",
        "Height",
        "IsRecorded",
        "Pushes",
        "Node",
    ]);
    list(&server, "ListStreams", "Streams", &columns).await
}

pub async fn nodes(server: cli::ApiServer) -> anyhow::Result<()> {
    let Some(answer) = ask(&server, &Call::action("ListNodes", json!({}))).await? else {
        return Ok(());
    };
    let sfu = columns(&["Node", "Sessions", "Capacity", "LoadPercent", "IsFull"]);
    let mix = columns(&["Node", "TasksLeft", "MillicoresLeft"]);
    println!(
        "Forwarding\n{}\nMixing\n{}",
        table::table(&answer["SfuNodes"], &sfu),
        table::table(&answer["MixNodes"], &mix)
    );
    Ok(())
}

pub async fn recordings(search: cli::RecordingSearch) -> anyhow::Result<()> {
    let mut parameters = json!({ "Limit": search.limit });
    if let Some(text) = &search.text {
        parameters["Text"] = json!(text);
    }
    if let Some(stream) = &search.stream_id {
        parameters["StreamId"] = json!(stream);
    }
    let columns = [
        Column::new("FileId", "/FileId"),
        Column::new("Name", "/BasicInfo/Name"),
        Column::new("Type", "/BasicInfo/Type"),
        Column::new("Seconds", "/MetaData/Duration"),
        Column::new("Bytes", "/MetaData/Size"),
        Column::new("Created", "/BasicInfo/CreateTime"),
    ];
    show(
        &search.server,
        &Call::action("SearchMedia", parameters),
        "MediaInfoSet",
        &columns,
    )
    .await
}

pub async fn delete_recording(target: cli::RecordingTarget) -> anyhow::Result<()> {
    let call = Call::action("DeleteMedia", json!({ "FileId": target.file_id }));
    done(&target.server, &call, &format!("file {} is deleted", target.file_id)).await
}

pub async fn usage(usage: cli::Usage) -> anyhow::Result<()> {
    let to = usage.to.as_ref().unwrap_or(&usage.from);
    let call = Call::action("DescribeUsage", json!({ "StartTime": usage.from, "EndTime": to }));
    let columns = columns(&["Day", "Measure", "Amount"]);
    let Some(answer) = ask(&usage.server, &call).await? else {
        return Ok(());
    };
    match usage.csv {
        true => print!("{}", table::csv(&answer["Rows"], &columns)),
        false => print!("{}", table::table(&answer["Rows"], &columns)),
    }
    Ok(())
}

pub async fn callbacks(command: Callbacks) -> anyhow::Result<()> {
    match command {
        Callbacks::List(search) => {
            let mut parameters = json!({ "PageSize": PAGE });
            if let Some(state) = &search.state {
                parameters["State"] = json!(state);
            }
            let columns = columns(&[
                "CallbackId",
                "Room",
                "State",
                "Attempts",
                "CreateTime",
                "Receiver",
                "LastError",
            ]);
            show(
                &search.server,
                &Call::action("ListCallbacks", parameters),
                "Callbacks",
                &columns,
            )
            .await
        }
        Callbacks::Replay(target) => {
            let call = Call::action("ReplayCallback", json!({ "CallbackId": target.callback_id }));
            done(
                &target.server,
                &call,
                &format!("callback {} is on its way", target.callback_id),
            )
            .await
        }
    }
}

fn columns(names: &[&'static str]) -> Vec<Column> {
    names.iter().map(|name| Column::of(name)).collect()
}

/// Shows all pages of an action. `field`: of the rows in its answer.
async fn list(server: &cli::ApiServer, action: &str, field: &str, columns: &[Column]) -> anyhow::Result<()> {
    let call = |after: Option<&Value>| {
        let mut parameters = json!({ "PageSize": PAGE });
        if let Some(after) = after {
            parameters["After"] = after.clone();
        }
        Call::action(action, parameters)
    };
    let client = Client::new(server)?;
    if server.curl {
        println!("{}", client.curl(&call(None)));
        return Ok(());
    }
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let mut answer = client.call(&call(after.as_ref())).await?;
        if let Value::Array(page) = answer[field].take() {
            rows.extend(page);
        }
        after = Some(answer["Next"].take());
        if after == Some(Value::Null) {
            break;
        }
    }
    let rows = Value::Array(rows);
    match server.json {
        true => println!("{rows}"),
        false => print!("{}", table::table(&rows, columns)),
    }
    Ok(())
}

async fn show(server: &cli::ApiServer, call: &Call, field: &str, columns: &[Column]) -> anyhow::Result<()> {
    if let Some(answer) = ask(server, call).await? {
        print!("{}", table::table(&answer[field], columns));
    }
    Ok(())
}

async fn done(server: &cli::ApiServer, call: &Call, words: &str) -> anyhow::Result<()> {
    if ask(server, call).await?.is_some() {
        println!("Done: {words}");
    }
    Ok(())
}

async fn remove(server: &cli::ApiServer, path: &str, words: &str) -> anyhow::Result<()> {
    done(server, &Call::delete(path), words).await
}

/// The answer, if it is to be shown in words.
async fn ask(server: &cli::ApiServer, call: &Call) -> anyhow::Result<Option<Value>> {
    let client = Client::new(server)?;
    if server.curl {
        println!("{}", client.curl(call));
        return Ok(None);
    }
    let answer = client.call(call).await?;
    if server.json {
        println!("{answer}");
        return Ok(None);
    }
    Ok(Some(answer))
}

/// As lines `Name: value`.
async fn show_fields(server: &cli::ApiServer, call: &Call) -> anyhow::Result<()> {
    let answer = ask(server, call).await?;
    for (name, value) in answer.iter().filter_map(Value::as_object).flatten() {
        match value {
            Value::String(text) => println!("{name}: {text}"),
            other => println!("{name}: {other}"),
        }
    }
    Ok(())
}
