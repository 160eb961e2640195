"""Goals over a window: verdict, figures, evidence. Pure."""
