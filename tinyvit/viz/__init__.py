"""Looking inside: functions that take arrays and return rows or matplotlib figures."""
