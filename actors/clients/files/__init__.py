"""Files as clients use them: read, changed, watched and searched, outside any sandbox."""
