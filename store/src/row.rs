//! Rows as structs. `sqlx`'s derive would build SQLite a second time, for the macro itself.

/// Reads a struct from a row of either database: each field from the column of its name.
macro_rules! columns {
    ($record:ident { $($field:ident),+ $(,)? }) => {
        $crate::row::columns!(@of sqlx::sqlite::SqliteRow, $record, $($field),+);
        $crate::row::columns!(@of sqlx::postgres::PgRow, $record, $($field),+);
    };
    (@of $row:path, $record:ident, $($field:ident),+) => {
        impl sqlx::FromRow<'_, $row> for $record {
            fn from_row(row: &$row) -> Result<Self, sqlx::Error> {
                Ok(Self {
                    $($field: sqlx::Row::try_get(row, stringify!($field))?,)+
                })
            }
        }
    };
}
pub(crate) use columns;
