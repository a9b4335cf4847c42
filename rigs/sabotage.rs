//! Breaking the engine on purpose, to see that a rig sees it. Takes feature `sabotage`.
//!
//! A variant is on for one thread, so an engine with threads of its own stays whole.

#[cfg(feature = "sabotage")]
use turnkeep::Sabotage;

#[cfg(feature = "sabotage")]
static VARIANT: std::sync::OnceLock<Sabotage> = std::sync::OnceLock::new();

/// Breaks the engine, wherever a rig lets it, in the way that is named.
///
/// # Errors
/// If there is none of that name, or this was built without the feature.
pub fn choose(name: &str) -> Result<(), String> {
    #[cfg(feature = "sabotage")]
    {
        let named = |variant: &&Sabotage| format!("{variant:?}") == name;
        let variant = Sabotage::ALL.iter().find(named);
        let variant = variant.ok_or_else(|| format!("{name}: one of {:?}", Sabotage::ALL))?;
        let _ = VARIANT.set(*variant);
        Ok(())
    }
    #[cfg(not(feature = "sabotage"))]
    Err(format!("{name}: takes `--features sabotage`"))
}

/// Runs `host` with the engine broken, if that was chosen.
pub fn during<T>(host: impl FnOnce() -> T) -> T {
    #[cfg(feature = "sabotage")]
    if let Some(variant) = VARIANT.get() {
        Sabotage::set(Some(*variant));
        let result = host();
        Sabotage::set(None);
        return result;
    }
    host()
}
