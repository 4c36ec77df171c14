"""Plugins: folders with skills, MCP servers and hooks, from marketplaces that the user has added.

The layout is Codex's, so one home serves both programs. A marketplace is a folder with a list of plugins. An installed
plugin is a copy in `plugins/cache/<marketplace>/<plugin>/<version>` of the home, and has a table in config.toml.
"""
