//! The language of prompts and messages: the catalogue's, by the person's locale or as configured. What the messages say is in [`crate::text`].

pub use sceau_locale::Language;
