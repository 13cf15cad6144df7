"""The dock widget: a Qt-free controller (`controller`) under a thin Qt view (`dock`)."""
