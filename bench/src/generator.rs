//! The load generator: one thread, one poll, plain sockets, since it shares the machine with what it measures.
//!
//! Invariant: latency counts from when a request was due, not from when a connection was free for it.

use std::io::IsTerminal as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::{Events, Poll, Token};

use super::alarm::{Alarm, TICK};
use super::answer::{Answer, line_problems, problem_code};
use super::connection::{Broken, Connection};
use super::load::{Epoch, Pace, Plan, Sent};
use super::schedule::Schedule;
use super::usage::thread_cpu_time;
use system::Progress;

/// How long answers that are still due at the end are waited for: longer than the API takes for anything.
const ANSWER_MAX: Duration = Duration::from_mins(1);
const CONNECT_MAX: Duration = Duration::from_secs(5);
const SHOW_EVERY: Duration = Duration::from_millis(500);
const REOPEN_PAUSE: Duration = Duration::from_millis(100);
const ALARM: Token = Token(usize::MAX);

/// Sends everything from a thread of its own, which ends early when this is dropped. Shows on a terminal how far it is.
pub(super) async fn send(plan: Plan) -> anyhow::Result<Sent> {
    let started = Instant::now();
    let total = match plan.pace {
        Pace::Open(_, duration) | Pace::Closed(duration) => duration.as_secs(),
        Pace::Count(requests) => requests,
    };
    let is_timed = !matches!(plan.pace, Pace::Count(_));
    let what = if is_timed { "seconds" } else { "requests" };
    let progress = std::io::stderr()
        .is_terminal()
        .then(|| Progress::new(what, total));
    let (done, sent) = tokio::sync::oneshot::channel();
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    std::thread::Builder::new()
        .name("generator".to_owned())
        .spawn(move || {
            let generator = Generator::new(plan, count);
            let sent = generator.and_then(|generator| generator.run(|| done.is_closed()));
            // Nobody listens any more when the bench was interrupted.
            done.send(sent).ok();
        })
        .context("starting the load generator")?;
    let mut sent = std::pin::pin!(sent);
    let mut shown = 0;
    loop {
        tokio::select! {
            sent = &mut sent => {
                if let Some(progress) = &progress {
                    progress.add(total - shown);
                    progress.finish();
                }
                return sent.context("the load generator panicked")?;
            }
            () = tokio::time::sleep(SHOW_EVERY) => {}
        }
        let done = if is_timed {
            started.elapsed().as_secs()
        } else {
            answered.load(Ordering::Relaxed)
        };
        if let Some(progress) = &progress {
            let now = done.clamp(shown, total);
            progress.add(now - shown);
            shown = now;
        }
    }
}

struct Generator {
    plan: Plan,
    poll: Poll,
    alarm: Alarm,
    address: SocketAddr,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// Broken ones, and when they are opened again.
    broken: Vec<(Instant, usize)>,
    busy: usize,
    schedule: Option<Schedule>,
    epoch: Epoch,
    sent: Sent,
    answered: Arc<AtomicU64>,
}

impl Generator {
    fn new(plan: Plan, answered: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let address = plan
            .target
            .authority
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .with_context(|| format!("looking for the address of {}", plan.target.authority))?;
        let poll = Poll::new().context("starting the load generator")?;
        let alarm = Alarm::new(poll.registry(), ALARM).context("setting the generator's timer")?;
        let lines = plan.kind.lines();
        let schedule = match plan.pace {
            Pace::Open(rate, duration) => Some(Schedule::new(rate, lines, duration)),
            Pace::Closed(_) | Pace::Count(_) => None,
        };
        let sent = Sent::new(plan.first, lines);
        Ok(Self {
            plan,
            poll,
            alarm,
            address,
            connections: Vec::new(),
            idle: Vec::new(),
            broken: Vec::new(),
            busy: 0,
            schedule,
            epoch: Epoch::now(),
            sent,
            answered,
        })
    }

    fn run(mut self, is_interrupted: impl Fn() -> bool) -> anyhow::Result<Sent> {
        let mut events = Events::with_capacity(1024);
        self.connect(&mut events)?;
        let cpu_before = thread_cpu_time();
        self.epoch = Epoch::now();
        self.sent.start(self.epoch.nanoseconds);
        let (mut over_since, mut rings_at) = (None, Duration::ZERO);
        loop {
            if is_interrupted() {
                bail!("interrupted");
            }
            let elapsed = self.epoch.started.elapsed();
            let next = self.send_due(elapsed);
            if next.is_none() {
                let over_since = *over_since.get_or_insert(elapsed);
                if self.busy == 0 || elapsed.saturating_sub(over_since) > ANSWER_MAX {
                    break;
                }
            }
            let pause = next.unwrap_or(ANSWER_MAX);
            // One that is still to ring rings in time: what is due next is never earlier than before.
            if pause < ANSWER_MAX && rings_at <= elapsed {
                self.alarm.set(pause).context("setting the timer")?;
                rings_at = elapsed + pause.max(TICK);
            }
            let polled = self.poll.poll(&mut events, Some(Alarm::timeout(pause)));
            match polled {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled.context("waiting for answers")?,
            }
            let elapsed = self.epoch.started.elapsed();
            for event in &events {
                if event.token() != ALARM {
                    self.look_at(event.token().0, event.is_writable(), elapsed);
                }
            }
        }
        Ok(self.finish(cpu_before))
    }

    fn finish(mut self, cpu_before: Option<Duration>) -> Sent {
        let unanswered = self.busy as u64 * self.sent.lines;
        self.sent.count_error("no_answer", unanswered);
        if let Some(schedule) = &self.schedule {
            self.sent.dropped = schedule.dropped * self.sent.lines;
            let last = schedule.due(schedule.total().saturating_sub(1));
            self.sent.stopped = self.epoch.at(last);
            self.sent.due = (0..schedule.total())
                .map(|number| self.epoch.at(schedule.due(number)))
                .collect();
        }
        self.sent.cpu = thread_cpu_time()
            .zip(cpu_before)
            .map(|(after, before)| after.saturating_sub(before));
        self.sent
    }

    /// Opens all connections before the clock starts.
    fn connect(&mut self, events: &mut Events) -> anyhow::Result<()> {
        for place in 0..usize::from(self.plan.connections) {
            let opened = Connection::open(self.address, Token(place), self.poll.registry());
            self.connections
                .push(opened.with_context(|| format!("connecting to {}", self.address))?);
        }
        let started = Instant::now();
        while self.idle.len() < self.connections.len() {
            if started.elapsed() > CONNECT_MAX {
                bail!(
                    "{} takes only {} of {} connections",
                    self.address,
                    self.idle.len(),
                    self.connections.len()
                );
            }
            self.poll
                .poll(events, Some(REOPEN_PAUSE))
                .context("connecting")?;
            for event in &*events {
                let place = event.token().0;
                match self.connections.get_mut(place).map(Connection::connected) {
                    Some(Ok(true)) => self.idle.push(place),
                    Some(Err(Broken)) => bail!("{} does not take connections", self.address),
                    Some(Ok(false)) | None => {}
                }
            }
        }
        Ok(())
    }

    /// Hands what is due to idle connections. Gives how long there is nothing to do but to wait for answers;
    /// `None` when nothing will be due any more.
    fn send_due(&mut self, elapsed: Duration) -> Option<Duration> {
        if !self.broken.is_empty() {
            self.reopen_broken();
        }
        let mut next = None;
        if let Some(schedule) = &mut self.schedule {
            next = schedule
                .advance(elapsed)
                .map(|due| due.saturating_sub(elapsed));
        }
        while let Some(place) = self.idle.pop() {
            let Some(request) = self.take(elapsed) else {
                self.idle.push(place);
                break;
            };
            let requests = &mut self.plan.requests;
            self.busy += 1;
            let connection = &mut self.connections[place];
            if connection
                .send(request, |out| requests.write(request.0, out))
                .is_err()
            {
                self.lose(place);
            }
        }
        let is_over = match (&self.schedule, self.plan.pace) {
            (Some(schedule), _) => schedule.is_over(),
            (None, Pace::Closed(duration)) => elapsed >= duration,
            (None, Pace::Count(requests)) => self.sent.due.len() as u64 >= requests,
            (None, Pace::Open(..)) => true,
        };
        let look_again = if self.broken.is_empty() {
            ANSWER_MAX
        } else {
            REOPEN_PAUSE
        };
        (!is_over).then(|| next.map_or(look_again, |next| next.max(TICK)))
    }

    /// The next request, and when it was due.
    fn take(&mut self, elapsed: Duration) -> Option<(u64, i64)> {
        if let Some(schedule) = &mut self.schedule {
            let number = schedule.take()?;
            return Some((number, self.epoch.at(schedule.due(number))));
        }
        let number = self.sent.due.len() as u64;
        let is_due = match self.plan.pace {
            Pace::Closed(duration) => elapsed < duration,
            Pace::Count(requests) => number < requests,
            Pace::Open(..) => false,
        };
        is_due.then(|| {
            let now = self.epoch.at(self.epoch.started.elapsed());
            self.sent.due.push(now);
            self.sent.stopped = now;
            (number, now)
        })
    }

    fn look_at(&mut self, place: usize, is_writable: bool, elapsed: Duration) {
        let connection = &mut self.connections[place];
        match connection.connected() {
            Ok(true) => self.idle.push(place),
            Ok(false) => {}
            Err(Broken) => return self.lose(place),
        }
        if is_writable && connection.flush().is_err() {
            return self.lose(place);
        }
        match connection.receive() {
            Ok(Some(answer)) => self.take_answer(place, &answer, elapsed),
            Ok(None) => {}
            Err(Broken) => self.lose(place),
        }
    }

    fn take_answer(&mut self, place: usize, answer: &Answer, elapsed: Duration) {
        let connection = &mut self.connections[place];
        let lines = self.sent.lines;
        if answer.is_success() {
            let problems = if lines > 1 {
                line_problems(connection.body(answer), &mut self.sent.errors)
            } else {
                Vec::new()
            };
            let now = self.epoch.at(elapsed);
            let accepted = lines.saturating_sub(problems.len() as u64);
            if let Some((number, due)) = connection.busy {
                self.sent.latency.record(due, now, accepted);
                self.sent.keep(number, &problems);
            }
            self.sent.accepted += accepted;
            self.sent.replayed += u64::from(answer.replayed);
            self.sent.last_accepted = now;
        } else {
            let code = problem_code(connection.body(answer))
                .map_or_else(|| answer.status.to_string(), str::to_owned);
            self.sent.count_error(&code, lines);
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        connection.finish();
        self.busy -= 1;
        if answer.close {
            self.lose(place);
        } else {
            self.idle.push(place);
        }
    }

    /// Gives a connection up, with what was under way on it.
    fn lose(&mut self, place: usize) {
        self.idle.retain(|idle| *idle != place);
        if self.connections[place].busy.take().is_some() {
            self.busy -= 1;
            let lines = self.sent.lines;
            self.sent.count_error("connection_lost", lines);
        }
        if self.broken.iter().all(|(_, broken)| *broken != place) {
            self.broken.push((Instant::now() + REOPEN_PAUSE, place));
        }
    }

    fn reopen_broken(&mut self) {
        let now = Instant::now();
        let due: Vec<usize> = self
            .broken
            .iter()
            .filter(|(at, _)| *at <= now)
            .map(|(_, place)| *place)
            .collect();
        self.broken.retain(|(at, _)| *at > now);
        for place in due {
            if self.connections[place]
                .reopen(self.address, self.poll.registry())
                .is_err()
            {
                self.broken.push((now + REOPEN_PAUSE, place));
            }
        }
    }
}
