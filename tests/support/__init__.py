"""What several tests share. Real objects and helpers only: nothing here stands in for a part of Isthmus."""
