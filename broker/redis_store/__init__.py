"""Redis behind the ports: records, upkeep, slots and members; the only room that knows Redis."""
