-- claude-mem of October 2025 (versions 1 to 4 of its schema): one id column of another name, an
-- observation that is text, and tables that later releases dropped.
CREATE TABLE schema_versions (id INTEGER PRIMARY KEY, version INTEGER UNIQUE NOT NULL, applied_at TEXT NOT NULL);
CREATE TABLE sdk_sessions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, claude_session_id TEXT UNIQUE NOT NULL, sdk_session_id TEXT UNIQUE,
  project TEXT NOT NULL, user_prompt TEXT, started_at TEXT NOT NULL, started_at_epoch INTEGER NOT NULL,
  completed_at TEXT, completed_at_epoch INTEGER,
  status TEXT CHECK(status IN ('active','completed','failed')) NOT NULL DEFAULT 'active');
CREATE TABLE observations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, sdk_session_id TEXT NOT NULL, project TEXT NOT NULL, text TEXT NOT NULL,
  type TEXT NOT NULL CHECK(type IN ('decision','bugfix','feature','refactor','discovery')),
  created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL);
CREATE TABLE session_summaries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, sdk_session_id TEXT UNIQUE NOT NULL, project TEXT NOT NULL,
  request TEXT, completed TEXT, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL);
CREATE TABLE observation_queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT, sdk_session_id TEXT NOT NULL, tool_name TEXT, tool_input TEXT, tool_output TEXT,
  created_at_epoch INTEGER NOT NULL, processed_at_epoch INTEGER);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, session_id TEXT UNIQUE, project TEXT, created_at TEXT);
CREATE TABLE memories (id INTEGER PRIMARY KEY, session_id TEXT, text TEXT, document_id TEXT);
CREATE TABLE overviews (id INTEGER PRIMARY KEY, session_id TEXT, content TEXT);
CREATE TABLE diagnostics (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT);
CREATE TABLE transcript_events (id INTEGER PRIMARY KEY, session_id TEXT, event_index INTEGER, event_type TEXT,
  raw_json TEXT, UNIQUE(session_id, event_index));
CREATE TABLE streaming_sessions (id INTEGER PRIMARY KEY, claude_session_id TEXT, sdk_session_id TEXT);

INSERT INTO schema_versions(version, applied_at) VALUES (1,'t'),(2,'t'),(3,'t'),(4,'t');
INSERT INTO sdk_sessions(claude_session_id,sdk_session_id,project,user_prompt,started_at,started_at_epoch,status) VALUES
  ('c-1','m-1','p','build it','2025-10-17T10:00:00.000Z',1760695200000,'active');
INSERT INTO observations(sdk_session_id,project,text,type,created_at,created_at_epoch) VALUES
  ('m-1','p','it was built','feature','2025-10-17T10:01:00.000Z',1760695260000);
INSERT INTO session_summaries(sdk_session_id,project,request,created_at,created_at_epoch) VALUES
  ('m-1','p','build it','2025-10-17T10:02:00.000Z',1760695320000);
INSERT INTO observation_queue(sdk_session_id,tool_name,tool_input,created_at_epoch,processed_at_epoch) VALUES
  ('m-1','Read','{}',1760695200500,1760695201000),('m-1','Edit','{}',1760695200600,NULL);
INSERT INTO sessions VALUES (1,'old-1','p','t');
INSERT INTO memories VALUES (1,'old-1','remembered','d1');
INSERT INTO overviews VALUES (1,'old-1','in short');
INSERT INTO transcript_events VALUES (1,'c-1',2,'assistant','{"b":1}'),(2,'c-1',1,'user','{"a":1}');
INSERT INTO streaming_sessions VALUES (1,'c-1','m-1');
