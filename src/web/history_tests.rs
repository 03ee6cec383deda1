#![allow(clippy::unwrap_used)]

use super::*;

/// A shell that leaves a line in `file` each time and then does this.
fn shell(file: &std::path::Path, then: &str) -> Arc<History> {
    let script = format!("echo run >> {}; {then}", file.display());
    Arc::new(History::new(["sh", "-c", &script].map(OsString::from).into()))
}

fn runs(file: &std::path::Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn however_many_ask_it_is_read_once_and_again_when_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("runs");
    let history = shell(&file, "sleep 0.3; echo '{\"a\":1}'");
    let begun = Instant::now();
    // The first one goes away while it is read.
    let first = tokio::spawn({
        let history = Arc::clone(&history);
        async move { history.told().await }
    });
    while runs(&file) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.abort();
    let all: Vec<_> = (0..50)
        .map(|_| {
            let history = Arc::clone(&history);
            tokio::spawn(async move { history.told().await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok("{\"a\":1}\n".into()));
    }
    while begun.elapsed() < LEAST {
        history.told().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(runs(&file), 1);
    // It took 0.3 s at the least, so it rests for 6 s.
    tokio::time::timeout(Duration::from_secs(30), async {
        while runs(&file) < 2 {
            history.told().await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_reader_that_fails_is_said_and_is_not_started_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for (n, (then, said)) in [
        // What the init system says to the daemon is the daemon's alone.
        (
            "test -z \"$NOTIFY_SOCKET\" && test $(cut -d' ' -f6 /proc/$$/stat) = $$ && exit 3",
            "its reader ended with exit status: 3",
        ),
        ("kill -ABRT $$", "its reader ended with signal: 6"),
        ("yes | head -c 9000000", "it is longer than 8388608 bytes"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = dir.path().join(n.to_string());
        let history = shell(&file, then);
        let why = history.told().await.unwrap_err();
        assert!(why.starts_with(said), "{why}");
        assert_eq!(history.told().await.unwrap_err(), why);
        assert_eq!(runs(&file), 1);
    }
    let missing = History::new(vec!["/nowhere/at/all".into()]);
    assert!(missing.told().await.unwrap_err().starts_with("no process for it: "));
    assert!(History::new(vec![]).told().await.is_err());
}
