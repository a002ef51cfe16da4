//! The local service: token call, logger, router.
