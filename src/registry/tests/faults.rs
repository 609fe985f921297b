//! Somebody between client and registry who makes trouble, as told.

use std::io;
use std::sync::{Arc, Mutex};

use super::http::{Answer, Asked, Server};

/// What goes wrong, how often, and with which requests.
pub(super) struct Rule {
    method: &'static str,
    /// Part of the path or its query.
    path: &'static str,
    times: usize,
    fault: Fault,
}

#[derive(Clone)]
pub(super) enum Fault {
    /// The registry is not asked at all.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// Nor here; the connection is closed without a word.
    Silence,
    /// The answer ends after so many bytes of its body.
    Cut(usize),
    /// One bit of the body is another.
    Corrupt,
    /// The registry does not hear of `Range`.
    NoRange,
    Without(&'static str),
    With(&'static str, String),
    /// `Location` loses scheme and host.
    RelativeLocation,
    /// Bodies above so many bytes are refused.
    TooLarge(usize),
    /// Any body is refused, so.
    NoBody(u16),
    /// The registry is not asked; this is what it says.
    Says(u16, &'static str),
    /// The same path elsewhere, with this status.
    Redirect(u16, String),
    /// The registry does its work, and says so with this status.
    Answers(u16),
    /// The registry does its work; its answer is lost.
    Swallow,
}

impl Rule {
    pub(super) fn new(
        method: &'static str,
        path: &'static str,
        times: usize,
        fault: Fault,
    ) -> Self {
        Self { method, path, times, fault }
    }
}

/// Stands before a registry, under an address of its own.
pub(super) fn before(address: &str, rules: Vec<Rule>) -> Server {
    let address = address.to_owned();
    let rules = Arc::new(Mutex::new(rules));
    Server::start(move |asked| {
        let fault = {
            let mut rules = rules.lock().expect("no handler panics");
            let rule = rules.iter_mut().find(|rule| {
                let method = rule.method == "*" || rule.method == asked.method;
                let fits = |limit: usize| asked.body.len() > limit;
                method
                    && rule.times > 0
                    && asked.path.contains(rule.path)
                    && !matches!(rule.fault, Fault::TooLarge(limit) if !fits(limit))
                    && !matches!(rule.fault, Fault::NoBody(_) if !fits(0))
            });
            rule.map(|rule| {
                rule.times -= 1;
                rule.fault.clone()
            })
        };
        answer(&address, asked, fault)
    })
}

fn answer(address: &str, asked: &Asked, fault: Option<Fault>) -> io::Result<Answer> {
    let forward = || Answer::from(address, asked);
    let Some(fault) = fault else { return forward() };
    Ok(match fault {
        Fault::Status(status, headers) => headers
            .iter()
            .fold(Answer::new(status, ""), |answer, (name, value)| answer.header(name, *value)),
        Fault::Silence => Answer { silent: true, ..Answer::default() },
        Fault::Swallow => Answer { silent: true, ..forward()? },
        Fault::Cut(after) => {
            let answer = forward()?;
            Answer { cut: Some(after.min(answer.body.len())), ..answer }
        }
        Fault::Corrupt => {
            let mut answer = forward()?;
            let middle = answer.body.len() / 2;
            answer.body[middle] ^= 1;
            answer
        }
        Fault::NoRange => {
            let mut asked = asked.clone();
            asked.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("range"));
            Answer::from(address, &asked)?
        }
        Fault::Without(header) => {
            let mut answer = forward()?;
            answer.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(header));
            answer
        }
        Fault::With(header, value) => forward()?.header(header, value),
        Fault::RelativeLocation => {
            let answer = forward()?;
            let location = answer.headers.iter().find(|(name, _)| name == "Location");
            let (_, location) = location.expect("the registry says where to go on");
            let at = location.find("/v2/").expect("a path of the registry");
            let relative = location[at..].to_owned();
            answer.header("Location", relative)
        }
        Fault::TooLarge(_) => Answer::new(413, "<html>too large</html>"),
        Fault::NoBody(status) => Answer::new(status, ""),
        Fault::Says(status, body) => Answer::new(status, body),
        Fault::Answers(status) => Answer { status, ..forward()? },
        Fault::Redirect(status, to) => {
            Answer::new(status, "").header("Location", format!("http://{to}{}", asked.path))
        }
    })
}
