"""The processes of a client. They end with its connection."""
