//! The workflow file: text, templates, model.
