//! The search in the catalogue of recorded files.

use rotunda_proto::ids::SdkAppId;
use rotunda_proto::recording::RecordingFile;

use crate::StoreError;
use crate::pool::{Engine, Store, retried};

/// Which files are meant. Conditions are combined with AND, the values of one condition with OR; an empty one means every file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaFilter {
    pub file_ids: Vec<String>,
    pub stream_ids: Vec<String>,
    /// Parts of names; letters of either case are the same.
    pub names: Vec<String>,
    /// Further parts of names, of which one must be there, too.
    pub also_names: Vec<String>,
    pub name_prefixes: Vec<String>,
    /// `mp4`, `hls` ...
    pub formats: Vec<String>,
    /// Numbers or names: the room 123 and the text room `123` are both found.
    pub rooms: Vec<String>,
    /// The time of the end of the recording, milliseconds since 1970: from (included), to (included).
    pub ended_from_unix_ms: Option<i64>,
    pub ended_to_unix_ms: Option<i64>,
    pub oldest_first: bool,
}

/// Files of a search, and how many there are in all.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaPage {
    pub files: Vec<RecordingFile>,
    pub total: i64,
}

/// How a database reads a field of a file's JSON.
#[derive(Debug, Clone, Copy)]
struct Dialect(Engine);

impl Dialect {
    fn text(self, field: &str) -> String {
        match self.0 {
            Engine::Sqlite => format!("json_extract(file, '$.{field}')"),
            Engine::Postgres => format!("(file::json ->> '{field}')"),
        }
    }

    /// The number or the name of the room.
    fn room(self) -> &'static str {
        match self.0 {
            Engine::Sqlite => "json_extract(file, '$.room.room') || ''",
            Engine::Postgres => "(file::json #>> '{room,room}')",
        }
    }

    fn ended_us(self) -> String {
        format!("CAST({} AS BIGINT)", self.text("ended_unix_us"))
    }
}

/// The pattern of LIKE for a name that has this in it, or begins with it.
fn pattern(text: &str, is_prefix: bool) -> String {
    let mut pattern = String::from(if is_prefix { "" } else { "%" });
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// A name without the folder of its recording.
const NAME: &str = "LOWER(CASE WHEN name LIKE '%/%' THEN SUBSTR(name, LENGTH(recording_id) + 2) ELSE name END)";

/// Writes the conditions of a filter; a macro, as the builders of the two databases are different types.
macro_rules! conditions {
    ($query:ident, $filter:ident, $dialect:ident) => {{
        let lists = [
            ("file_id".to_owned(), &$filter.file_ids),
            ($dialect.text("stream_id"), &$filter.stream_ids),
            ("format".to_owned(), &$filter.formats),
            ($dialect.room().to_owned(), &$filter.rooms),
        ];
        for (column, values) in lists {
            if values.is_empty() {
                continue;
            }
            $query.push(format!(" AND {column} IN ("));
            let mut list = $query.separated(", ");
            for value in values {
                list.push_bind(value.clone());
            }
            $query.push(")");
        }
        for (values, is_prefix) in [
            (&$filter.names, false),
            (&$filter.also_names, false),
            (&$filter.name_prefixes, true),
        ] {
            if values.is_empty() {
                continue;
            }
            $query.push(" AND (");
            let mut list = $query.separated(" OR ");
            for value in values {
                list.push(format!("{NAME} LIKE "));
                list.push_bind_unseparated(pattern(value, is_prefix));
                list.push_unseparated(r" ESCAPE '\'");
            }
            $query.push(")");
        }
        for (moment, comparison) in [($filter.ended_from_unix_ms, ">="), ($filter.ended_to_unix_ms, "<=")] {
            if let Some(moment) = moment {
                $query.push(format!(" AND {} / 1000 {comparison} ", $dialect.ended_us()));
                $query.push_bind(moment);
            }
        }
    }};
}

impl Store {
    /// An application's complete files, newest first.
    pub async fn search_media(
        &self,
        application: SdkAppId,
        filter: &MediaFilter,
        offset: i64,
        most: i64,
    ) -> Result<MediaPage, StoreError> {
        let dialect = Dialect(self.engine());
        retried!(self, pool => {
            let mut count = sqlx::QueryBuilder::new("SELECT COUNT(*) FROM recording_files WHERE state = 'ready' AND app = ");
            count.push_bind(i64::from(application.get()));
            conditions!(count, filter, dialect);
            let total: i64 = count.build_query_scalar().fetch_one(pool).await?;
            let mut page = sqlx::QueryBuilder::new("SELECT file FROM recording_files WHERE state = 'ready' AND app = ");
            page.push_bind(i64::from(application.get()));
            conditions!(page, filter, dialect);
            let order = if filter.oldest_first { "ASC" } else { "DESC" };
            page.push(format!(" ORDER BY {} {order}, file_id {order} LIMIT ", dialect.ended_us()));
            page.push_bind(most);
            page.push(" OFFSET ");
            page.push_bind(offset);
            let files: Vec<String> = page.build_query_scalar().fetch_all(pool).await?;
            Ok((files, total))
        })
        .and_then(|(files, total)| {
            let parsed = files.iter().map(|json| serde_json::from_str(json));
            let files = parsed.collect::<Result<_, _>>();
            let files = files.map_err(|error| StoreError::row("recording_files", error))?;
            Ok(MediaPage { files, total })
        })
    }
}
