-- claude-mem 13.15: what a fresh database has, and rows as they are found in used ones.
PRAGMA foreign_keys = OFF;
PRAGMA user_version = 7;
CREATE TABLE schema_versions (id INTEGER PRIMARY KEY, version INTEGER UNIQUE NOT NULL, applied_at TEXT NOT NULL);
CREATE TABLE sdk_sessions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, content_session_id TEXT NOT NULL, memory_session_id TEXT UNIQUE,
  project TEXT NOT NULL, platform_source TEXT NOT NULL DEFAULT 'claude', user_prompt TEXT,
  started_at TEXT NOT NULL, started_at_epoch INTEGER NOT NULL, completed_at TEXT, completed_at_epoch INTEGER,
  status TEXT NOT NULL DEFAULT 'active' CHECK(status IN ('active','completed','failed')),
  worker_port INTEGER, prompt_counter INTEGER DEFAULT 0, custom_title TEXT);
CREATE UNIQUE INDEX ux_sdk_sessions_platform_content ON sdk_sessions(platform_source, content_session_id);
CREATE TABLE observations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, memory_session_id TEXT NOT NULL, project TEXT NOT NULL, text TEXT, type TEXT NOT NULL,
  title TEXT, subtitle TEXT, facts TEXT, narrative TEXT, concepts TEXT, files_read TEXT, files_modified TEXT,
  prompt_number INTEGER, discovery_tokens INTEGER DEFAULT 0, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL,
  content_hash TEXT, generated_by_model TEXT, agent_type TEXT, agent_id TEXT, metadata TEXT,
  sync_rev TEXT NOT NULL DEFAULT '1',
  FOREIGN KEY(memory_session_id) REFERENCES sdk_sessions(memory_session_id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE UNIQUE INDEX ux_observations_session_hash ON observations(memory_session_id, content_hash);
CREATE TABLE session_summaries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, memory_session_id TEXT NOT NULL, project TEXT NOT NULL,
  request TEXT, investigated TEXT, learned TEXT, completed TEXT, next_steps TEXT, files_read TEXT, files_edited TEXT, notes TEXT,
  prompt_number INTEGER, discovery_tokens INTEGER DEFAULT 0, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL,
  sync_rev, FOREIGN KEY(memory_session_id) REFERENCES sdk_sessions(memory_session_id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE user_prompts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, session_db_id INTEGER, content_session_id TEXT NOT NULL, prompt_number INTEGER NOT NULL,
  prompt_text TEXT NOT NULL, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL,
  FOREIGN KEY(session_db_id) REFERENCES sdk_sessions(id) ON DELETE CASCADE);
CREATE TABLE pending_messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, session_db_id INTEGER NOT NULL, content_session_id TEXT NOT NULL,
  message_type TEXT NOT NULL CHECK(message_type IN ('observation','summarize')),
  tool_name TEXT, tool_input TEXT, tool_response TEXT, cwd TEXT, prompt_number INTEGER,
  status TEXT NOT NULL DEFAULT 'pending' CHECK(status IN ('pending','processing')),
  created_at_epoch INTEGER NOT NULL, tool_use_id TEXT);
CREATE UNIQUE INDEX ux_pending_session_tool ON pending_messages(session_db_id, tool_use_id) WHERE tool_use_id IS NOT NULL;
CREATE TABLE sync_state(k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
CREATE TABLE sync_outbox(id INTEGER PRIMARY KEY, op_uuid TEXT UNIQUE, rev TEXT, body TEXT, canonical_body BLOB,
  operation_sha256 TEXT, created_at_epoch INTEGER);
CREATE TABLE sync_dead_letter(id INTEGER PRIMARY KEY, op_uuid TEXT, why TEXT);
CREATE VIRTUAL TABLE observations_fts USING fts5(title, narrative, content='observations', content_rowid='id');
CREATE TRIGGER observations_ai AFTER INSERT ON observations BEGIN
  INSERT INTO observations_fts(rowid, title, narrative) VALUES (new.id, new.title, new.narrative); END;

-- 36 to 38 were another line's.
INSERT INTO schema_versions(version, applied_at) VALUES (4,'t'),(35,'t'),(39,'t'),(49,'t');
INSERT INTO sdk_sessions(id,content_session_id,memory_session_id,project,user_prompt,started_at,started_at_epoch,status) VALUES
  (1,'c-1','m-1','p','build it','2026-05-01T10:00:00.000Z',1777629600000,'completed'),
  (2,'c-2',NULL,'p','[media prompt]','2026-05-01T11:00:00.000Z',1777633200000,'active');
INSERT INTO user_prompts(session_db_id,content_session_id,prompt_number,prompt_text,created_at,created_at_epoch) VALUES
  (1,'c-1',1,'build it','2026-05-01T10:00:01.000Z',1777629601000),
  (1,'c-1',2,'continue','2026-05-01T10:05:00.000Z',1777629900000),
  (2,'c-2',1,'[media prompt]','2026-05-01T11:00:01.000Z',1777633201000);
INSERT INTO observations(memory_session_id,project,type,title,narrative,facts,concepts,created_at,created_at_epoch,content_hash,agent_type) VALUES
  ('m-1','p','feature','built','it was built','["a","b"]','[]','2026-05-01T10:01:00.000Z',1777629660000,'9f86d081884c7d65','main'),
  ('m-1','p','bugfix','fixed','it was not','not json',NULL,'2026-05-01T10:02:00.000Z',1777629720000,'__null_migration_2__',NULL),
  ('m-9','unknown','discovery','lost','nobody knows whose',NULL,NULL,'2026-05-01T10:03:00.000Z',1777629780000,'60303ae22b998861',NULL);
INSERT INTO session_summaries(memory_session_id,project,request,completed,prompt_number,created_at,created_at_epoch,sync_rev) VALUES
  ('m-1','p','build it','built',1,'2026-05-01T10:04:00.000Z',1777629840000,2.0000000000000004),
  ('m-1','p','continue','all',2,'2026-05-01T10:06:00.000Z',1777629960000,'3');
INSERT INTO pending_messages(session_db_id,content_session_id,message_type,tool_name,tool_input,status,created_at_epoch,tool_use_id) VALUES
  (2,'c-2','observation','Read','{"path":"x"}','pending',1777633202000,'toolu_1'),
  (2,'c-2','summarize',NULL,NULL,'processing',1777633203000,NULL);
INSERT INTO sync_state VALUES ('cursor','12'),('device','d-1');
INSERT INTO sync_outbox VALUES (1,'u-1','18446744073709551615','{}',x'00ff7b',NULL,1777633203000);
