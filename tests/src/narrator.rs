//! Tells the demo: one step at a time, in French or English, coloured where the terminal is one.

use std::{
    env,
    io::{IsTerminal, stdout},
    thread::sleep,
    time::{Duration, Instant},
};

/// The two languages of everything that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// French.
    French,
    /// English.
    English,
}

impl Language {
    /// By `LC_ALL`, `LC_MESSAGES`, `LANG`, in that order: French where it says so, else English.
    #[must_use]
    pub fn of_locale() -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
        if locale.is_some_and(|value| value.starts_with("fr")) {
            Self::French
        } else {
            Self::English
        }
    }
}

/// A text in both languages.
pub type Text<'a> = (&'a str, &'a str);

/// Who tells, in which language, how fast.
pub struct Narrator {
    language: Language,
    colour: bool,
    pause: Duration,
    begun: Instant,
    chapter: usize,
}

impl Narrator {
    /// A narrator; `fast` leaves out the pauses for reading.
    #[must_use]
    pub fn new(language: Language, fast: bool) -> Self {
        let terminal = stdout().is_terminal();
        let pause = if fast || !terminal {
            Duration::ZERO
        } else {
            Duration::from_millis(900)
        };
        Self {
            language,
            colour: terminal && env::var_os("NO_COLOR").is_none(),
            pause,
            begun: Instant::now(),
            chapter: 0,
        }
    }

    /// The text in the narrator's language: (French, English).
    #[must_use]
    pub fn pick<'a>(&self, text: Text<'a>) -> &'a str {
        match self.language {
            Language::French => text.0,
            Language::English => text.1,
        }
    }

    /// The locale of the people in the story.
    #[must_use]
    pub const fn language(&self) -> Language {
        self.language
    }

    /// Begins a chapter.
    pub fn chapter(&mut self, title: Text<'_>) {
        self.chapter += 1;
        let seconds = self.begun.elapsed().as_secs_f32();
        println!(
            "\n{} {}",
            self.paint("1;36", &format!("{}.", self.chapter)),
            self.paint("1", self.pick(title))
        );
        println!("{}", self.paint("2", &format!("   {seconds:.1} s")));
        sleep(self.pause);
    }

    /// Says what happens.
    pub fn say(&self, text: &str) {
        for line in text.lines() {
            println!("   {line}");
        }
        sleep(self.pause / 2);
    }

    /// Says what somebody at a screen sees.
    pub fn screen(&self, who: &str, text: &str) {
        for line in text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
        {
            println!("   {} {}", self.paint("35", &format!("{who} │")), line);
        }
        sleep(self.pause);
    }

    /// Says that something held, as it should.
    pub fn held(&self, text: &str) {
        println!("   {} {text}", self.paint("1;32", "✔"));
        sleep(self.pause / 3);
    }

    /// Says what a thief tried.
    pub fn attack(&self, text: &str) {
        println!("   {} {text}", self.paint("1;31", "✘"));
        sleep(self.pause / 3);
    }

    /// Prints a table: columns as wide as their widest cell, wrapped by nobody.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .chain([head[column].chars().count()])
                .max()
                .unwrap_or_default()
        };
        let line = |cells: Vec<&str>| {
            let padded: Vec<String> = cells
                .iter()
                .enumerate()
                .map(|(column, cell)| format!("{cell:<width$}", width = width(column)))
                .collect();
            padded.join("  ")
        };
        println!("\n   {}", self.paint("1", &line(head.to_vec())));
        for row in rows {
            println!("   {}", line(row.iter().map(String::as_str).collect()));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
