"""The pages: Live, Plan, Research and About. Each is a view with `layout()` and `register()`."""
