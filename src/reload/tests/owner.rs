//! What the owner of the file does with what it has read: what it puts in force, keeps, and changes for people.

use std::process::Command;

use super::*;
use crate::routing::Mode;

#[tokio::test]
async fn keys_of_the_start_keep_their_running_values() {
    let mut site = Site::new();
    site.write(&file(2).replace("[gateway]", "[gateway]\nworkers = 77\nlisten = \"127.0.0.1:1\""));
    let (generation, config) = site.applied.recv().await.unwrap();
    assert_eq!((generation, config.gateway.drain.as_secs()), (2, 2));
    assert_eq!(config.start.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_ne!(config.start.workers, 77);
}

#[tokio::test]
async fn sighup_reads_the_file_again() {
    let mut site = Site::new();
    site.handle.reread().await;
    assert_eq!(site.next().await, 1);
    assert_eq!(site.status.borrow().generation, 2);

    // The signal reaches the whole process; no other test listens to it.
    site.handle.on_hangup(&site.shutdown, |handle| async move { handle.reread().await }).unwrap();
    let hangup = Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status().unwrap();
    assert!(hangup.success());
    assert_eq!(site.next().await, 1);
    assert_eq!(site.status.borrow().generation, 3);
}

/// Nobody edits the file at midnight: what was expected until yesterday is compared today.
#[tokio::test]
async fn a_rule_whose_day_ends_is_applied_no_longer() {
    let route = "[[route]]\nname = \"a\"\npath = \"/a\"\nmode = \"monolith\"\ncontract = \"article\"\n\
                 [[route.compare.rule]]\npath = \"/v\"\nrule = \"expected\"\nuntil = 2026-01-01\nreason = \"known\"\n";
    let yesterday = |config: &mut Config| {
        let plan = &mut config.plans[0];
        plan.rules = std::mem::take(&mut plan.expired);
        assert_eq!(plan.rules.len(), 1);
    };
    let mut site = Site::since(|path| fs::write(path, file(1) + route).unwrap(), yesterday);
    let applied = timeout(Duration::from_secs(10), site.applied.recv()).await.unwrap();
    let (generation, config) = applied.unwrap();
    assert_eq!((generation, config.plans[0].rules.len(), config.plans[0].expired.len()), (2, 0, 1));
    site.write(&(file(2) + route));
    assert_eq!((site.next().await, site.status.borrow().generation), (2, 3), "once");
}

#[tokio::test]
async fn what_breaks_while_it_is_put_in_force_does_not_end_the_watch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    fs::write(&path, file(1)).unwrap();
    let running = Arc::new(config::load(&path).unwrap());
    fs::create_dir(&running.start.data).unwrap();
    let (reload, handle) = Reload::new(path.clone(), running, None, Metrics::default());
    let shutdown = Shutdown::default();
    let apply = |_, config: Arc<Config>| assert_ne!(config.gateway.drain.as_secs(), 2, "a mistake");
    shutdown.spawn(reload.run(apply, shutdown.clone()));
    let mut status = handle.status();
    let patience = Duration::from_secs(10);

    fs::write(&path, file(2)).unwrap();
    let broken = timeout(patience, status.wait_for(|status| status.rejected.is_some())).await.unwrap();
    assert!(broken.unwrap().rejected.as_deref().unwrap().contains("mistake of figueira's"));
    fs::write(&path, file(3)).unwrap();
    let mended = timeout(patience, status.wait_for(|status| status.rejected.is_none())).await.unwrap();
    assert_eq!(mended.unwrap().generation, 2);
    shutdown.begin();
}

#[tokio::test]
async fn what_is_in_force_is_kept_and_what_is_broken_is_not() {
    let mut site = Site::new();
    let data = site.path("figueira-data");
    site.write(&file(2));
    assert_eq!(site.next().await, 2);
    site.write("broken");
    site.rejected().await;
    // Keeping comes after the news, and before the next content is judged: what is kept is the good one.
    assert_eq!(
        config::last_good(&site.path("routes.toml"), &data, config::Purpose::Run)
            .unwrap()
            .gateway
            .drain
            .as_secs(),
        2
    );
}

fn change(mode: Mode) -> Change {
    Change {
        route: "a".into(),
        mode: Some(mode),
        share: None,
        by: "ana".into(),
        reason: None,
        force: false,
        generation: None,
    }
}

#[tokio::test]
async fn a_person_changes_the_file_through_its_owner() {
    let route = "[[route]]\nname = \"a\"\npath = \"/a\"\nmode = \"monolith\" # now\ncontract = \"article\"\nsubject = \"client-ip\"\n";
    let text = file(1) + route;
    let mut site = Site::with(|path| fs::write(path, &text).unwrap());
    let changed = site.handle.change(change(Mode::Shadow)).await.unwrap();
    assert_eq!(changed.generation, 2);
    assert!(changed.diff.contains("+mode = \"shadow\" # now\n"), "{}", changed.diff);
    let (generation, config) = site.applied.recv().await.unwrap();
    assert_eq!((generation, config.routes.routes()[0].mode), (2, Mode::Shadow));
    assert_eq!(
        fs::read_to_string(site.path("routes.toml")).unwrap(),
        text.replace("\"monolith\"", "\"shadow\"")
    );

    let again = site.handle.change(change(Mode::Shadow)).await.unwrap();
    assert_eq!((again.generation, &*again.diff), (2, ""));
    let forward = site.handle.change(change(Mode::Canary)).await.unwrap_err();
    assert!(matches!(forward, Refused::Unproven { .. }), "{forward}");
    let unreasoned = Change { force: true, ..change(Mode::Canary) };
    assert_eq!(site.handle.change(unreasoned).await.unwrap_err(), Refused::Unreasoned);
    let stale = Change { generation: Some(1), ..change(Mode::Monolith) };
    assert_eq!(site.handle.change(stale).await.unwrap_err(), Refused::Stale { current: 2, asked: 1 });
    let unknown = Change { route: "b".into(), ..change(Mode::Monolith) };
    assert!(matches!(site.handle.change(unknown).await.unwrap_err(), Refused::Unknown { .. }));
    assert!(site.applied.try_recv().is_err(), "none of them was put in force");

    site.write("broken");
    site.rejected().await;
    let broken = site.handle.change(change(Mode::Monolith)).await.unwrap_err();
    assert!(matches!(broken, Refused::Broken(_)), "{broken}");
    let audited = audit::Log::in_folder(&site.path("figueira-data")).last(9).unwrap();
    let words: Vec<_> =
        audited.iter().map(|line| (&*line.who, line.to.as_deref(), line.generation)).collect();
    assert_eq!(words, [("ana", Some("shadow"), Some(2))]);
}
