/** What the embedded server calls itself, in ClickHouse's own header: a real server has a host's name there. */
export const DISPLAY_NAME_HEADER = "x-clickhouse-server-display-name";
export const EMBEDDED_DISPLAY_NAME = "clickmill-embedded";
