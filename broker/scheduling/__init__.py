"""Policy without I/O: functions of what they are given, the clock included."""
