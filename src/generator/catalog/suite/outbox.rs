//! News for those who wait for it.

use super::{
    Advance, Catalog, First, MINUTE, NewJob, Posted, Reason, State, Step, THERE, at, claimed, job, walk,
};

fn awaited(id: u128) -> NewJob {
    NewJob { notify: Some("{\"hold\":7}".into()), ..job(id) }
}

pub(super) async fn every_end_is_news_once(catalog: &Catalog) {
    let ends: [(&[Step], State); 4] = [
        (&[Step::Store, Step::Commit], State::Done),
        (&[Step::Fail(Reason::Refused)], State::Failed),
        (&[Step::HandOver], State::HandedOver),
        (&[Step::Store, Step::Undo, Step::Lose], State::Failed),
    ];
    let due = async |at| catalog.letters(at, First::Latest, 10).await.unwrap();
    let ended = async |state| catalog.ended(state, at() + MINUTE, 10).await.unwrap();
    for (id, (steps, news)) in (1..).zip(ends) {
        let lease = claimed(catalog, awaited(id)).await;
        for step in steps {
            assert_eq!(due(at() + MINUTE).await, [], "nothing before its end");
            walk(catalog, catalog.record(lease.job).await.unwrap().unwrap().lease, &[*step]).await;
        }
        let [letter] = due(at()).await[..] else { panic!("one letter") };
        assert_eq!((letter.job, letter.news, letter.tries, letter.written), (lease.job, news, 0, at()));
        assert_eq!(letter.refused, None);

        for (tries, refused) in [(1, Some(at())), (2, None), (3, Some(at() + MINUTE))] {
            catalog.posted(letter, Posted::Again { due: at() + MINUTE, refused }).await.unwrap();
            assert_eq!(due(at()).await, [], "not yet");
            let of_the_job = catalog.letter(lease.job).await.unwrap().unwrap();
            assert_eq!((of_the_job.tries, of_the_job.refused), (tries, refused), "due or not");
        }
        let [again] = due(at() + MINUTE).await[..] else { panic!("one letter") };
        assert_eq!((again.job, again.tries), (lease.job, 3));
        assert!(ended(news).await.is_empty(), "not before it is told");
        catalog.posted(again, Posted::Delivered).await.unwrap();
        assert_eq!(due(at() + MINUTE).await, []);
        assert_eq!(catalog.letter(lease.job).await.unwrap(), None);
        assert_eq!(ended(news).await, [lease.job]);
        let carried = catalog.record(lease.job).await.unwrap().unwrap().notify;
        assert_eq!(carried, None, "there is nothing more to tell");
        catalog.erase(lease.job).await.unwrap();
    }

    // A dead one is never due, and its job has its time as any other.
    let lease = claimed(catalog, awaited(10)).await;
    walk(catalog, lease, &[Step::HandOver]).await;
    catalog.posted(due(at()).await[0], Posted::Dead).await.unwrap();
    assert_eq!(due(at() + MINUTE * 10_000).await, []);
    assert_eq!(ended(State::HandedOver).await, [lease.job]);
    catalog.erase(lease.job).await.unwrap();

    // Given up by another, and done after all: the newer news is what is told.
    claimed(catalog, awaited(11)).await;
    let [seen] = catalog.open_jobs().await.unwrap()[..] else { panic!("one job is open") };
    let Advance::Moved(lost) = catalog.take_over(seen, THERE, at()).await.unwrap() else { panic!("refused") };
    let [old] = due(at()).await[..] else { panic!("one letter") };
    assert_eq!(old.news, State::Failed);
    catalog.posted(old, Posted::Again { due: at(), refused: Some(at()) }).await.unwrap();
    walk(catalog, lost, &[Step::Store, Step::Commit]).await;
    catalog.posted(old, Posted::Delivered).await.unwrap();
    let [new] = due(at()).await[..] else { panic!("the old one's delivery takes nothing from the new") };
    assert_eq!((new.news, new.tries, new.refused), (State::Done, 0, None));
    catalog.posted(new, Posted::Delivered).await.unwrap();

    // The same, told of by then.
    claimed(catalog, awaited(12)).await;
    let [seen] = catalog.open_jobs().await.unwrap()[..] else { panic!("one job is open") };
    let Advance::Moved(lost) = catalog.take_over(seen, THERE, at()).await.unwrap() else { panic!("refused") };
    catalog.posted(due(at()).await[0], Posted::Delivered).await.unwrap();
    walk(catalog, lost, &[Step::Store, Step::Commit]).await;
    assert_eq!(due(at()).await[0].news, State::Done);
}

/// And what has waited longest from the other.
pub(super) async fn what_has_just_become_due_is_found_from_one_end(catalog: &Catalog) {
    for id in 1..=3 {
        let lease = claimed(catalog, awaited(id)).await;
        walk(catalog, lease, &[Step::HandOver]).await;
    }
    let letters = catalog.letters(at(), First::Latest, 10).await.unwrap();
    let [tried, waiting, ..] = letters[..] else { panic!("three letters") };
    catalog.posted(tried, Posted::Again { due: at() + MINUTE, refused: None }).await.unwrap();
    let due_from = async |first, most| -> Vec<_> {
        let letters = catalog.letters(at() + MINUTE, first, most).await.unwrap();
        letters.iter().map(|letter| letter.job).collect()
    };
    let due = async |most| due_from(First::Latest, most).await;
    assert_eq!((due(1).await, due(10).await.len()), (vec![tried.job], 3));
    assert_eq!(due_from(First::Longest, 10).await[2], tried.job);
    catalog.posted(waiting, Posted::Again { due: at() + MINUTE * 2, refused: None }).await.unwrap();
    assert_eq!(due(1).await, [tried.job], "another is not due");
}

pub(super) async fn a_job_that_nobody_waits_for_is_no_news(catalog: &Catalog) {
    let lease = claimed(catalog, job(1)).await;
    walk(catalog, lease, &[Step::Store, Step::Commit]).await;
    assert_eq!(catalog.letters(at() + MINUTE, First::Latest, 10).await.unwrap(), []);
}
