-- include view
-- The record as it is told (PROTOCOL 1, retention).
return view()
