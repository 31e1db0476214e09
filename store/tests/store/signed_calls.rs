use rotunda_store::{Remembered, Store};

use crate::{at, on_both};

on_both!(a_call_is_remembered_with_its_answer_while_its_signature_is_good);

async fn a_call_is_remembered_with_its_answer_while_its_signature_is_good(store: &Store) {
    let ask = async |now: u64| store.remember_call("a", at(now), at(300)).await.unwrap();
    let seen = |answer: Option<&str>| Remembered::Seen {
        first: at(10),
        answer: answer.map(str::to_owned),
    };
    assert_eq!(ask(10).await, Remembered::New);
    assert_eq!(ask(11).await, seen(None));
    store.answer_call("a", "{}").await.unwrap();
    assert_eq!(ask(299).await, seen(Some("{}")));
    assert_eq!(ask(300).await, Remembered::New, "it was forgotten");
}
