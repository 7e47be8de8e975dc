SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
CREATE TABLE public.accounts (
    balance bigint NOT NULL,
    min_balance bigint,
    version bigint NOT NULL,
    opened_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    opening_min_balance bigint,
    ledger integer NOT NULL,
    exponent smallint NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    currency text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    type text,
    metadata text,
    opening_metadata text,
    CONSTRAINT accounts_closed_empty CHECK (((status <> 'closed'::text) OR (balance = 0))),
    CONSTRAINT accounts_exponent_check CHECK (((exponent >= 0) AND (exponent <= 12))),
    CONSTRAINT accounts_id_check CHECK (((length(id) >= 1) AND (length(id) <= 64))),
    CONSTRAINT accounts_min_balance CHECK ((balance >= min_balance)),
    CONSTRAINT accounts_status_check CHECK ((status = ANY (ARRAY['open'::text, 'frozen'::text, 'closed'::text]))),
    CONSTRAINT accounts_version_check CHECK ((version >= 0))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');
CREATE TABLE public.adoptions (
    number bigint NOT NULL,
    partition smallint NOT NULL,
    adopted_at timestamp with time zone DEFAULT now() NOT NULL,
    why text NOT NULL,
    generation smallint NOT NULL,
    old_stream_created bigint,
    new_stream_created bigint NOT NULL,
    old_applied bigint NOT NULL,
    new_applied bigint NOT NULL,
    CONSTRAINT adoptions_why_check CHECK ((why <> ''::text))
);
ALTER TABLE public.adoptions ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.adoptions_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.commits (
    "position" bigint NOT NULL,
    first_position bigint NOT NULL,
    decided_at bigint NOT NULL,
    epoch bigint NOT NULL,
    commands integer NOT NULL,
    partition smallint NOT NULL,
    encoder smallint NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT commits_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT commits_previous_hash_check CHECK ((length(previous_hash) = 32))
);
CREATE TABLE public.dead_letters (
    "position" bigint NOT NULL,
    decided_at bigint NOT NULL,
    recorded_at bigint NOT NULL,
    ledger integer,
    line integer NOT NULL,
    partition smallint NOT NULL,
    whole boolean NOT NULL,
    reason text NOT NULL COLLATE pg_catalog."C",
    detail text NOT NULL,
    transfer_id uuid,
    body bytea NOT NULL
);
CREATE TABLE public.transfers (
    id uuid NOT NULL,
    "position" bigint NOT NULL,
    accepted_at bigint NOT NULL,
    decided_at bigint NOT NULL,
    amount bigint NOT NULL,
    debit_version bigint,
    credit_version bigint,
    debit_balance_after bigint,
    credit_balance_after bigint,
    ledger integer NOT NULL,
    line integer NOT NULL,
    partition smallint NOT NULL,
    exponent smallint NOT NULL,
    debit_account text NOT NULL COLLATE pg_catalog."C",
    credit_account text NOT NULL COLLATE pg_catalog."C",
    currency text NOT NULL COLLATE pg_catalog."C",
    idempotency_key text NOT NULL COLLATE pg_catalog."C",
    reason text COLLATE pg_catalog."C",
    detail text,
    description text,
    metadata text,
    CONSTRAINT transfers_amount_check CHECK ((amount > 0)),
    CONSTRAINT transfers_differ CHECK (((reason IS NOT NULL) OR (debit_account <> credit_account))),
    CONSTRAINT transfers_posted CHECK (((reason IS NULL) = ((debit_version IS NOT NULL) AND (credit_version IS NOT NULL) AND (debit_balance_after IS NOT NULL) AND (credit_balance_after IS NOT NULL))))
);
CREATE VIEW public.entries AS
 SELECT transfers.ledger,
    transfers.debit_account AS account,
    transfers.debit_version AS version,
    (- transfers.amount) AS amount,
    transfers.debit_balance_after AS balance_after,
    transfers.credit_account AS counterparty,
    transfers.id AS transfer_id,
    transfers.currency,
    transfers.exponent,
    transfers.decided_at,
    transfers.description,
    transfers.partition,
    transfers."position",
    transfers.line
   FROM public.transfers
  WHERE (transfers.reason IS NULL)
UNION ALL
 SELECT transfers.ledger,
    transfers.credit_account AS account,
    transfers.credit_version AS version,
    transfers.amount,
    transfers.credit_balance_after AS balance_after,
    transfers.debit_account AS counterparty,
    transfers.id AS transfer_id,
    transfers.currency,
    transfers.exponent,
    transfers.decided_at,
    transfers.description,
    transfers.partition,
    transfers."position",
    transfers.line
   FROM public.transfers
  WHERE (transfers.reason IS NULL);
CREATE TABLE public.keys (
    id text NOT NULL COLLATE pg_catalog."C",
    hash bytea NOT NULL,
    ledger integer NOT NULL,
    scope text NOT NULL,
    name text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT keys_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT keys_scope_check CHECK ((scope = ANY (ARRAY['read'::text, 'write'::text, 'admin'::text])))
);
CREATE TABLE public.ledgers (
    number integer NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ledgers_name_check CHECK ((name ~ '^[A-Za-z0-9_-]{1,64}$'::text))
);
ALTER TABLE public.ledgers ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ledgers_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.outcomes (
    "position" bigint NOT NULL,
    decided_at bigint NOT NULL,
    ledger integer NOT NULL,
    line integer NOT NULL,
    partition smallint NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    transfer_id uuid,
    data text,
    CONSTRAINT outcomes_data CHECK (((transfer_id IS NULL) <> (data IS NULL)))
);
CREATE TABLE public.partitions (
    partition smallint NOT NULL,
    owner text,
    epoch bigint DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    generation smallint DEFAULT 0 NOT NULL,
    stream_created bigint,
    applied bigint DEFAULT 0 NOT NULL,
    applied_at bigint DEFAULT 0 NOT NULL,
    published bigint DEFAULT 0 NOT NULL,
    stopped text,
    stopped_at timestamp with time zone
)
WITH (fillfactor='50');
CREATE TABLE public.processors (
    owner text NOT NULL,
    seen_at timestamp with time zone NOT NULL
);
CREATE TABLE public.units (
    ledger integer NOT NULL,
    code text NOT NULL COLLATE pg_catalog."C",
    exponent smallint NOT NULL,
    CONSTRAINT units_code_check CHECK ((code ~ '^[A-Z][A-Z0-9]{2,11}$'::text)),
    CONSTRAINT units_exponent_check CHECK (((exponent >= 0) AND (exponent <= 12)))
);
INSERT INTO public._sqlx_migrations VALUES (1, 'spine', '2026-11-21 17:50:01.722659+00', true, '\x9f604a4c9e6d5a9cd583955d1c37380bad55537a5cc7ff801be1d8ff17f9e02ac98978a7ae966992e67441641d409d9d', 133865722);
INSERT INTO public.accounts VALUES (100000, 0, 1, 1795283402170814000, 1795283402195684000, 0, 1, 2, 'alice', 'USD', 'open', NULL, NULL, NULL);
INSERT INTO public.accounts VALUES (19992, 0, 20, 1795283402814824000, 1795283406424207000, 0, 1, 2, 'a1', 'USD', 'open', 'wallet', '{"n":1,"x":0.4167768076651964}', '{"n":1,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (100000, 0, 1, 1795283402180588000, 1795283402202129000, 0, 1, 2, 'bob', 'USD', 'open', NULL, NULL, NULL);
INSERT INTO public.accounts VALUES (10027, 0, 16, 1795283402823768000, 1795283406424207000, 0, 1, 2, 'a4', 'USD', 'open', 'wallet', '{"n":4,"x":0.4167768076651964}', '{"n":4,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (0, NULL, 0, 1795283402860553000, 1795283402860553000, NULL, 1, 2, 'eu', 'EUR', 'open', NULL, NULL, NULL);
INSERT INTO public.accounts VALUES (23004, 0, 17, 1795283402839546000, 1795283406456128000, 0, 1, 2, 'a7', 'USD', 'open', 'wallet', '{"n":7,"x":0.4167768076651964}', '{"n":7,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (10018, 0, 19, 1795283402817975000, 1795283406490449000, 0, 1, 2, 'a2', 'USD', 'open', 'wallet', '{"n":2,"x":0.4167768076651964}', '{"n":2,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (10081, 0, 17, 1795283402821364000, 1795283406490449000, 0, 1, 2, 'a3', 'USD', 'open', 'wallet', '{"n":3,"x":0.4167768076651964}', '{"n":3,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (9993, 0, 15, 1795283402830192000, 1795283406295702000, 0, 1, 2, 'a5', 'USD', 'open', 'wallet', '{"n":5,"x":0.4167768076651964}', '{"n":5,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (10000, 0, 1, 1795283402843672000, 1795283402949873000, 0, 1, 2, 'a8', 'USD', 'open', 'wallet', '{"n":8,"x":0.4167768076651964}', '{"n":8,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (10000, 0, 1, 1795283402852708000, 1795283402892118000, 0, 1, 2, 'a10', 'USD', 'open', 'wallet', '{"n":10,"x":0.4167768076651964}', '{"n":10,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (-3023, -5000, 16, 1795283402836169000, 1795283406359805000, 0, 1, 2, 'a6', 'USD', 'open', 'wallet', '{"vip":true}', '{"n":6,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (10000, 0, 1, 1795283402855762000, 1795283402894239000, 0, 1, 2, 'a11', 'USD', 'open', 'wallet', '{"n":11,"x":0.4167768076651964}', '{"n":11,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (-320000, NULL, 14, 1795283402155939000, 1795283402894239000, NULL, 1, 2, 'world', 'USD', 'open', NULL, NULL, NULL);
INSERT INTO public.accounts VALUES (0, 0, 2, 1795283402848524000, 1795283402963595000, 0, 1, 2, 'a9', 'USD', 'closed', 'wallet', '{"n":9,"x":0.4167768076651964}', '{"n":9,"x":0.4167768076651964}');
INSERT INTO public.accounts VALUES (9908, 0, 17, 1795283402810115000, 1795283406391691000, 0, 1, 2, 'a0', 'USD', 'open', 'wallet', '{"n":0,"x":0.4167768076651964}', '{"n":0,"x":0.4167768076651964}');
INSERT INTO public.commits VALUES (1, 1, 1795283402155939000, 1, 1, 1, 1, '\x0000000000000000000000000000000000000000000000000000000000000000', '\x177b0b31faa218f02e30a587d0daf5d2c84e782d19617b82a8da74a2008d8c3f');
INSERT INTO public.commits VALUES (2, 2, 1795283402170814000, 1, 1, 1, 1, '\x177b0b31faa218f02e30a587d0daf5d2c84e782d19617b82a8da74a2008d8c3f', '\xc46a583bbd3da1992bf02963a8651fa7ee8c2d90762a88dd8d0f719be79d9ac8');
INSERT INTO public.commits VALUES (3, 3, 1795283402180588000, 1, 1, 0, 1, '\x0000000000000000000000000000000000000000000000000000000000000000', '\x2b63d9ddebd3076a6682402ca8b66c9118776571021de16334b7b08d979998da');
INSERT INTO public.commits VALUES (4, 4, 1795283402195684000, 1, 1, 1, 1, '\xc46a583bbd3da1992bf02963a8651fa7ee8c2d90762a88dd8d0f719be79d9ac8', '\xe6dc39877a7519ea70e9d3b9abfc3132aa7f6d887e9e92437f5611f7e13beffb');
INSERT INTO public.commits VALUES (5, 5, 1795283402202129000, 1, 1, 1, 1, '\xe6dc39877a7519ea70e9d3b9abfc3132aa7f6d887e9e92437f5611f7e13beffb', '\x92876e0b282ef96d0234ba1dc77a543f6a3b348b04020cf1c568d275a6e3b18c');
INSERT INTO public.commits VALUES (6, 6, 1795283402810115000, 1, 1, 0, 1, '\x2b63d9ddebd3076a6682402ca8b66c9118776571021de16334b7b08d979998da', '\x77cac46de3fe465b0f8a87dc7125ad0e471ca910732736ab997f41376f1ca31d');
INSERT INTO public.commits VALUES (7, 7, 1795283402814824000, 1, 1, 1, 1, '\x92876e0b282ef96d0234ba1dc77a543f6a3b348b04020cf1c568d275a6e3b18c', '\x300fc776aecc471973f76e3d1ee2df951b2d25b3c084075afd13027f7c75a1a4');
INSERT INTO public.commits VALUES (8, 8, 1795283402817975000, 1, 1, 0, 1, '\x77cac46de3fe465b0f8a87dc7125ad0e471ca910732736ab997f41376f1ca31d', '\x8a12b6c517033723b4ec0841adfae75951664952479791aedcec2fcc06d44562');
INSERT INTO public.commits VALUES (9, 9, 1795283402821364000, 1, 1, 1, 1, '\x300fc776aecc471973f76e3d1ee2df951b2d25b3c084075afd13027f7c75a1a4', '\xb0d2b96dd616d049cd2977f77217496023f8819c6c99b1361c3391a848707259');
INSERT INTO public.commits VALUES (10, 10, 1795283402823768000, 1, 1, 0, 1, '\x8a12b6c517033723b4ec0841adfae75951664952479791aedcec2fcc06d44562', '\x6cc352a077d32bc9e750b9eb90e39ac4e6396b964df9ecb18a3b04e25742de4e');
INSERT INTO public.commits VALUES (11, 11, 1795283402830192000, 1, 1, 1, 1, '\xb0d2b96dd616d049cd2977f77217496023f8819c6c99b1361c3391a848707259', '\x0c62d5aef6694932b099d206f0c8463c419cadc706fc16272ebc95ee3679cba6');
INSERT INTO public.commits VALUES (12, 12, 1795283402836169000, 1, 1, 0, 1, '\x6cc352a077d32bc9e750b9eb90e39ac4e6396b964df9ecb18a3b04e25742de4e', '\xacc864b39f65ab910f60231a143e7d1ca50ee1ec8f5507395074c7f293449357');
INSERT INTO public.commits VALUES (13, 13, 1795283402839546000, 1, 1, 1, 1, '\x0c62d5aef6694932b099d206f0c8463c419cadc706fc16272ebc95ee3679cba6', '\x95ad99d9c743541af891360094412c1463c2f3ab333759e951d38dd6ba0475ad');
INSERT INTO public.commits VALUES (14, 14, 1795283402843672000, 1, 1, 0, 1, '\xacc864b39f65ab910f60231a143e7d1ca50ee1ec8f5507395074c7f293449357', '\x8ead9dce8ac7a100c1d58d0251adb87d9e844bd0daa1211146997a07d2b56451');
INSERT INTO public.commits VALUES (15, 15, 1795283402848524000, 1, 1, 1, 1, '\x95ad99d9c743541af891360094412c1463c2f3ab333759e951d38dd6ba0475ad', '\x3eaabce111c9a243f9691e753a6af6d00a53637204701700be9e476690b85c29');
INSERT INTO public.commits VALUES (16, 16, 1795283402852708000, 1, 1, 1, 1, '\x3eaabce111c9a243f9691e753a6af6d00a53637204701700be9e476690b85c29', '\x5379d86c2a6f7123255783d2cb6e84fb847dff51cb971ddeaad29455b7e024e5');
INSERT INTO public.commits VALUES (17, 17, 1795283402855762000, 1, 1, 0, 1, '\x8ead9dce8ac7a100c1d58d0251adb87d9e844bd0daa1211146997a07d2b56451', '\x4dc9af7b768bd08897372a5259467ef02506e062263ba9d384ad1a40c1b76642');
INSERT INTO public.commits VALUES (18, 18, 1795283402858316000, 1, 1, 1, 1, '\x5379d86c2a6f7123255783d2cb6e84fb847dff51cb971ddeaad29455b7e024e5', '\x2871847e2ff23a1fb0ac1fbdb086168565a65f894b6a3e2e36bdc533ca931a47');
INSERT INTO public.commits VALUES (19, 19, 1795283402860553000, 1, 1, 1, 1, '\x2871847e2ff23a1fb0ac1fbdb086168565a65f894b6a3e2e36bdc533ca931a47', '\x50e984761a481f2daa8946c3cef1ab7828c44f72ce2eb0b3e405885600a69f40');
INSERT INTO public.commits VALUES (20, 20, 1795283402865799000, 1, 1, 1, 1, '\x50e984761a481f2daa8946c3cef1ab7828c44f72ce2eb0b3e405885600a69f40', '\x9c9f52921f31dd46bba1d969f2b4771a1d29b61f29917377b2a0f58ebb6f14c5');
INSERT INTO public.commits VALUES (21, 21, 1795283402868181000, 1, 1, 1, 1, '\x9c9f52921f31dd46bba1d969f2b4771a1d29b61f29917377b2a0f58ebb6f14c5', '\xe56f8f86a6f59a103f0ce0bf1abfc71e7a58e1408fa487ff3e91220f0cadde36');
INSERT INTO public.commits VALUES (22, 22, 1795283402870344000, 1, 1, 1, 1, '\xe56f8f86a6f59a103f0ce0bf1abfc71e7a58e1408fa487ff3e91220f0cadde36', '\x44d4f9522606c7fd3a89cd4632169c1e297deaa136d9b341067db9ea63998e50');
INSERT INTO public.commits VALUES (23, 23, 1795283402874268000, 1, 1, 1, 1, '\x44d4f9522606c7fd3a89cd4632169c1e297deaa136d9b341067db9ea63998e50', '\xe3f5f8d4270077f1003fa9e6bb2e9bd906188ba735f5b318c486e9a32667611a');
INSERT INTO public.commits VALUES (24, 24, 1795283402878358000, 1, 1, 1, 1, '\xe3f5f8d4270077f1003fa9e6bb2e9bd906188ba735f5b318c486e9a32667611a', '\xde5b51439272b634c0e33b95ad2b23e7918e9b8ae6c082370662540d8b0c9a51');
INSERT INTO public.commits VALUES (25, 25, 1795283402880669000, 1, 1, 1, 1, '\xde5b51439272b634c0e33b95ad2b23e7918e9b8ae6c082370662540d8b0c9a51', '\x5274d081dc67ab91c4ff69d8cbdc73bd8922e576e1c55280f3a186cbfde74923');
INSERT INTO public.commits VALUES (26, 26, 1795283402882908000, 1, 1, 1, 1, '\x5274d081dc67ab91c4ff69d8cbdc73bd8922e576e1c55280f3a186cbfde74923', '\x751b53ebc6b97facff4987c00f91bf59a62a6e7e03960d5144a6532cb9a42230');
INSERT INTO public.commits VALUES (27, 27, 1795283402885341000, 1, 1, 1, 1, '\x751b53ebc6b97facff4987c00f91bf59a62a6e7e03960d5144a6532cb9a42230', '\x35c18c49014a4aed532693b41d6630d891aa936964f59a93d75cd8104bdca126');
INSERT INTO public.commits VALUES (28, 28, 1795283402887600000, 1, 1, 1, 1, '\x35c18c49014a4aed532693b41d6630d891aa936964f59a93d75cd8104bdca126', '\x0974c42780728d18bf86e3b3936c13057596edcba2262bfd3a34c97c6708ca3c');
INSERT INTO public.commits VALUES (29, 29, 1795283402889851000, 1, 1, 1, 1, '\x0974c42780728d18bf86e3b3936c13057596edcba2262bfd3a34c97c6708ca3c', '\x32fa0113ed9bc46a4ab05ddfce93eda4a0224ff9a285a6d43ede92ea3ead799c');
INSERT INTO public.commits VALUES (30, 30, 1795283402892118000, 1, 1, 1, 1, '\x32fa0113ed9bc46a4ab05ddfce93eda4a0224ff9a285a6d43ede92ea3ead799c', '\x8b2b6a1756614e312b870a936ef854e33c9d91243eee0d14ee8a4d52d8375a29');
INSERT INTO public.commits VALUES (31, 31, 1795283402894239000, 1, 1, 1, 1, '\x8b2b6a1756614e312b870a936ef854e33c9d91243eee0d14ee8a4d52d8375a29', '\x8ba58787e146984782e5eac7da58e713d001f745a945675185bcffdcfda359b8');
INSERT INTO public.commits VALUES (32, 32, 1795283402896632000, 1, 1, 0, 1, '\x4dc9af7b768bd08897372a5259467ef02506e062263ba9d384ad1a40c1b76642', '\x9b9de99850d70599b8345526f3beb7d56586652498d068b89d0bdcf18242d855');
INSERT INTO public.commits VALUES (33, 33, 1795283402898772000, 1, 1, 0, 1, '\x9b9de99850d70599b8345526f3beb7d56586652498d068b89d0bdcf18242d855', '\x9776e66a9963a31988b6e071379686ca0d15d7f39fd27128fca69ca6a722fb3d');
INSERT INTO public.commits VALUES (34, 34, 1795283402900930000, 1, 1, 0, 1, '\x9776e66a9963a31988b6e071379686ca0d15d7f39fd27128fca69ca6a722fb3d', '\xc809a99db3b5be76551c4bdb00dd4e094ba8d8474d7eedeb77f5d9522fb14351');
INSERT INTO public.commits VALUES (35, 35, 1795283402905914000, 1, 1, 0, 1, '\xc809a99db3b5be76551c4bdb00dd4e094ba8d8474d7eedeb77f5d9522fb14351', '\x3cb9c34c82bfbce5a534ada47e9ab2b72f429febf17b1b72801b61f4e1b40ba2');
INSERT INTO public.commits VALUES (36, 36, 1795283402911536000, 1, 1, 0, 1, '\x3cb9c34c82bfbce5a534ada47e9ab2b72f429febf17b1b72801b61f4e1b40ba2', '\xd4b65baf561daa04be486591fdabb2d5a13cdd593f24419871bf6d86fe09af58');
INSERT INTO public.commits VALUES (37, 37, 1795283402916626000, 1, 1, 0, 1, '\xd4b65baf561daa04be486591fdabb2d5a13cdd593f24419871bf6d86fe09af58', '\xad11d12a31ee34bb6afc6dba142c1ed42f676ce3aeeac1ccab852ce6edd14fe7');
INSERT INTO public.commits VALUES (38, 38, 1795283402929778000, 1, 1, 0, 1, '\xad11d12a31ee34bb6afc6dba142c1ed42f676ce3aeeac1ccab852ce6edd14fe7', '\xae43c8458e345ba9e394536562a60f180c157fe0bc6ca34fa7d117fd96bc266f');
INSERT INTO public.commits VALUES (39, 39, 1795283402940739000, 1, 1, 0, 1, '\xae43c8458e345ba9e394536562a60f180c157fe0bc6ca34fa7d117fd96bc266f', '\x008d66b45a1ef8e0e69cac10dc81fb213ff085eee1a593c4c1df671a2b1153ba');
INSERT INTO public.commits VALUES (40, 40, 1795283402944241000, 1, 1, 0, 1, '\x008d66b45a1ef8e0e69cac10dc81fb213ff085eee1a593c4c1df671a2b1153ba', '\xa909ccb7f04d1364ae817027d6c132a94d545a13a69d5bcd588cac3201c33ff2');
INSERT INTO public.commits VALUES (41, 41, 1795283402947540000, 1, 1, 0, 1, '\xa909ccb7f04d1364ae817027d6c132a94d545a13a69d5bcd588cac3201c33ff2', '\x26c70d3f57fd42da70dcc570b228d5508c5843053fbe33164fada39614b71100');
INSERT INTO public.commits VALUES (42, 42, 1795283402949873000, 1, 1, 0, 1, '\x26c70d3f57fd42da70dcc570b228d5508c5843053fbe33164fada39614b71100', '\x630f8ebc0d21241955a39baa4bd824de516d946e6eb1101e6feff4167f5658d1');
INSERT INTO public.commits VALUES (43, 43, 1795283402952071000, 1, 1, 1, 1, '\x8ba58787e146984782e5eac7da58e713d001f745a945675185bcffdcfda359b8', '\xfebd300357730613439019af34749d36fba45c931072c59b2951a073bbbc9097');
INSERT INTO public.commits VALUES (44, 44, 1795283402955678000, 1, 1, 1, 1, '\xfebd300357730613439019af34749d36fba45c931072c59b2951a073bbbc9097', '\x2bbcdf496a211901f6f7f5b08561194605ba1f702443210e6c1fd080d480d355');
INSERT INTO public.commits VALUES (45, 45, 1795283402963595000, 1, 1, 1, 1, '\x2bbcdf496a211901f6f7f5b08561194605ba1f702443210e6c1fd080d480d355', '\xc26572a902a59c3fa099d3b83b2defb7751f159f7af6771280d78db39e0dc958');
INSERT INTO public.commits VALUES (46, 46, 1795283402967485000, 1, 1, 1, 1, '\xc26572a902a59c3fa099d3b83b2defb7751f159f7af6771280d78db39e0dc958', '\xd0654503ca4cf8c5b3dfa7bbcb64bc9267bf04b0cfdf6634ec35dd015ee6d618');
INSERT INTO public.commits VALUES (47, 47, 1795283403170918000, 1, 1, 1, 1, '\xd0654503ca4cf8c5b3dfa7bbcb64bc9267bf04b0cfdf6634ec35dd015ee6d618', '\x56b03c9ffc3c6beec96be05fa463572d00c10ded8d815d2dc6b99b3eee390d7b');
INSERT INTO public.commits VALUES (52, 50, 1795283403216862000, 1, 2, 0, 1, '\x630f8ebc0d21241955a39baa4bd824de516d946e6eb1101e6feff4167f5658d1', '\x709b71df58b252e0f3ce1cc1ffedc61a0a9b0376202c14ceb9ed7f6737b75cb5');
INSERT INTO public.commits VALUES (54, 48, 1795283403223792000, 1, 5, 1, 1, '\x56b03c9ffc3c6beec96be05fa463572d00c10ded8d815d2dc6b99b3eee390d7b', '\x7616610aae43172dc04347479780eda88e13f7921fb5369e44fa3d9885a30b0a');
INSERT INTO public.commits VALUES (55, 55, 1795283404671808000, 1, 1, 0, 1, '\x709b71df58b252e0f3ce1cc1ffedc61a0a9b0376202c14ceb9ed7f6737b75cb5', '\x61eb46f1d7d6248de0d0e1e9229031b11077fa9aceecdf4e1e159f9117650c7b');
INSERT INTO public.commits VALUES (56, 56, 1795283404679396000, 1, 1, 1, 1, '\x7616610aae43172dc04347479780eda88e13f7921fb5369e44fa3d9885a30b0a', '\xff6ccdd79d3e23a99b74cd00db5517b1a543ef4f79bd71ccd553eda9c04ec445');
INSERT INTO public.commits VALUES (57, 57, 1795283404682918000, 1, 1, 0, 1, '\x61eb46f1d7d6248de0d0e1e9229031b11077fa9aceecdf4e1e159f9117650c7b', '\xd604a8e2e97f648648ad52581904b0d448281e0bde1f62ad71169e216c1b06e4');
INSERT INTO public.commits VALUES (58, 58, 1795283404684502000, 1, 1, 1, 1, '\xff6ccdd79d3e23a99b74cd00db5517b1a543ef4f79bd71ccd553eda9c04ec445', '\xafbb61186cb4809f9c6b7e0384db1c32c4ff17b31e4dbd3f7445f66fb104fa94');
INSERT INTO public.commits VALUES (59, 59, 1795283404695382000, 1, 1, 0, 1, '\xd604a8e2e97f648648ad52581904b0d448281e0bde1f62ad71169e216c1b06e4', '\xdaafc9065c3846fea1e1f9366e3a2ec29ec0d5d689cd9d8e6efadcf0880c66ff');
INSERT INTO public.commits VALUES (60, 60, 1795283404698770000, 1, 1, 1, 1, '\xafbb61186cb4809f9c6b7e0384db1c32c4ff17b31e4dbd3f7445f66fb104fa94', '\x0bf6e18f134fd2660cacbb4f160108254582e91beac3cb32b8c61996075d2032');
INSERT INTO public.commits VALUES (63, 61, 1795283404701974000, 1, 2, 0, 1, '\xdaafc9065c3846fea1e1f9366e3a2ec29ec0d5d689cd9d8e6efadcf0880c66ff', '\xd0118358528de3ecc4f8654c8e444707b04a99591eed9ee37c1f8de5e2b54d02');
INSERT INTO public.commits VALUES (62, 62, 1795283404704092000, 1, 1, 1, 1, '\x0bf6e18f134fd2660cacbb4f160108254582e91beac3cb32b8c61996075d2032', '\x8d21e7834454a2458ccf2e42b2313be59e4a5d0286f33d8c6666ddeb89182064');
INSERT INTO public.commits VALUES (65, 65, 1795283404711136000, 1, 1, 0, 1, '\xd0118358528de3ecc4f8654c8e444707b04a99591eed9ee37c1f8de5e2b54d02', '\xf4be664d8619195cbb9b84d8d988e7521e6ea67c9a00f708c1c2e4e8b779d5b5');
INSERT INTO public.commits VALUES (66, 64, 1795283404714570000, 1, 2, 1, 1, '\x8d21e7834454a2458ccf2e42b2313be59e4a5d0286f33d8c6666ddeb89182064', '\x6d16cc4c014c10213834643eab05b9f63bfc685cbe381d3f95b89157fad5dea0');
INSERT INTO public.commits VALUES (70, 70, 1795283404728919000, 1, 1, 1, 1, '\x81d7e795331c33f5e91b86ee6dffb3c174dda1c2bc1912d5641f98d600c6ce68', '\xcd1b9b3862e34352d08025c16d705f60e991845450034de5dc1b768d10ddff8f');
INSERT INTO public.commits VALUES (74, 74, 1795283404747007000, 1, 1, 1, 1, '\x7248d25a0c87bb5c958e4d3ab29589f4ee398056a9b39fdaa97d413ec44f0c30', '\x11df9fccc502622fcc0e2a1930d2086957ae8111fc7acdb11ecff08b3bba81dc');
INSERT INTO public.commits VALUES (78, 78, 1795283404760235000, 1, 1, 1, 1, '\xb23802535757d89a6d83bd54e8c18f81d7017678f1d8281b6c7927801e1158c5', '\xdc369df454d07d303b0497a21961acf529c17924a6cb36b527cf4b6ace535bf7');
INSERT INTO public.commits VALUES (83, 83, 1795283404772050000, 1, 1, 0, 1, '\xe4bfafb21048313a9e2766f10f04760915d7994a6784584696b45f77b0940a00', '\x6f713c39bd4ca598a5764228e692ccb6bf4d0fa53bb1b0c42747eff9035002fb');
INSERT INTO public.commits VALUES (87, 87, 1795283404782255000, 1, 1, 0, 1, '\x8bd2aa9abeac6cafa0dea582f70002759467b973ad8d2c7befcbfd906e32a27b', '\xc9a20c261132ca7aa5945bdf9e86b9779297b047c9337f7452fb991042d62cc0');
INSERT INTO public.commits VALUES (91, 91, 1795283404798477000, 1, 1, 0, 1, '\x09c2c6421946805402faa1553730d44392c58fe5c4fb464c05808642f8a11522', '\xe7e676430fabbefeb0688826525271bf1a6e50e249d011b434720f10c88e1c33');
INSERT INTO public.commits VALUES (102, 102, 1795283406041047000, 1, 1, 0, 1, '\x3b8f72c2f1f5cfd931459eb4e60d6302af75967b592419dcfea862c6af235aee', '\xdfbce2b99f881e2ca64f322a512644e0725a5bbf7ad9af09ab96a6dbe3a4582a');
INSERT INTO public.commits VALUES (106, 106, 1795283406199177000, 1, 1, 0, 1, '\x437059b7c7e280e77c6295a3e7cbe3658ca21c9ac28913e92595c4e0457592e1', '\xf27a350f8d9fc66707e6f4b6a032fe48ef5dd27eccdff51cba1ba142d2e4f904');
INSERT INTO public.commits VALUES (110, 110, 1795283406327574000, 1, 1, 0, 1, '\x4ac7051c2f77feeffa0657c7bcab1ccf2605029d5e814aac25fabe8bdf985bd9', '\x3cc0b6cddbd96b3eddf38c3c26421ae49f8a086b911a545a56edd3ef347e1722');
INSERT INTO public.commits VALUES (114, 114, 1795283406456128000, 1, 1, 0, 1, '\x9b284bab7bef51c21b11c454a2c3739ad0a3f713b31895f791cd56c656dba4c9', '\x45edbe590ab3691a79597b9395b47221662ef8196385d6a4c13575316f9b6633');
INSERT INTO public.commits VALUES (67, 67, 1795283404717774000, 1, 1, 0, 1, '\xf4be664d8619195cbb9b84d8d988e7521e6ea67c9a00f708c1c2e4e8b779d5b5', '\x12ab714415ab13b5ee2fa4fe13e4484c6e92a1c9b5b0744b2259940003d434c4');
INSERT INTO public.commits VALUES (71, 71, 1795283404730539000, 1, 1, 0, 1, '\xa86b57b3e19b99b42f2a09988a6a9a4706e7b0f7f1a1d95300abc636e5165c2f', '\x8cdf415f3875f4ea514b750233eb6bc8366115cc4183b777eaad544881dfa495');
INSERT INTO public.commits VALUES (75, 75, 1795283404748841000, 1, 1, 0, 1, '\x5c08965e9caae6ed3b3b34c7e88e923a71a1be5ea0a26c887f89baa4439c292c', '\x3905617d76dc2fef9b2312bfa157984e459f388243e63c7f20c0ab2639568bbe');
INSERT INTO public.commits VALUES (80, 80, 1795283404761836000, 1, 1, 1, 1, '\xdc369df454d07d303b0497a21961acf529c17924a6cb36b527cf4b6ace535bf7', '\x9495d9553a92eec234f65f82eaaf0a690d775450a23c7c7a2152be88d6d79735');
INSERT INTO public.commits VALUES (84, 84, 1795283404775188000, 1, 1, 1, 1, '\xf0956e3f63effe18cf68d1947b7545caa81fbd29cfa9865ba2d1712367e5f475', '\xd3952946b56f70b3d003c5670df5ca7e1e99e2cf78b1804e474ff417fdb10474');
INSERT INTO public.commits VALUES (88, 88, 1795283404784842000, 1, 1, 1, 1, '\x4f33ed76c485c13753d94399f1985a701871c6675802ff5fecf4ff9dc656d3a7', '\x1a6c9eb5bd14f93a52d1a6c4aa7e2923f780fac10bf80c8604ddb95cb838571f');
INSERT INTO public.commits VALUES (92, 92, 1795283404801346000, 1, 1, 1, 1, '\xe1c2842096c20650a94b39179b9cc2c36fa1ccb6b3140b246805142b59e9d4a9', '\x5d125b1c43ccbbaa6ae5cdc59a29107a585827c6848e795bbe5a31531e57aba4');
INSERT INTO public.commits VALUES (98, 98, 1795283405912309000, 1, 1, 0, 1, '\x5517586048e42fa06eda4b4f77a5c6e1e89e5b9e6f3482a6846ad3c06676214e', '\x5ae233a71c701f6111a34e8d59c033ef768407bab41e81cbbc0853388d153b91');
INSERT INTO public.commits VALUES (100, 100, 1795283405976531000, 1, 1, 0, 1, '\x5ae233a71c701f6111a34e8d59c033ef768407bab41e81cbbc0853388d153b91', '\x3b8f72c2f1f5cfd931459eb4e60d6302af75967b592419dcfea862c6af235aee');
INSERT INTO public.commits VALUES (104, 104, 1795283406105118000, 1, 1, 0, 1, '\xdfbce2b99f881e2ca64f322a512644e0725a5bbf7ad9af09ab96a6dbe3a4582a', '\x437059b7c7e280e77c6295a3e7cbe3658ca21c9ac28913e92595c4e0457592e1');
INSERT INTO public.commits VALUES (108, 108, 1795283406263353000, 1, 1, 0, 1, '\xf27a350f8d9fc66707e6f4b6a032fe48ef5dd27eccdff51cba1ba142d2e4f904', '\x4ac7051c2f77feeffa0657c7bcab1ccf2605029d5e814aac25fabe8bdf985bd9');
INSERT INTO public.commits VALUES (112, 112, 1795283406391691000, 1, 1, 0, 1, '\x3cc0b6cddbd96b3eddf38c3c26421ae49f8a086b911a545a56edd3ef347e1722', '\x9b284bab7bef51c21b11c454a2c3739ad0a3f713b31895f791cd56c656dba4c9');
INSERT INTO public.commits VALUES (68, 68, 1795283404721262000, 1, 1, 1, 1, '\x6d16cc4c014c10213834643eab05b9f63bfc685cbe381d3f95b89157fad5dea0', '\x81d7e795331c33f5e91b86ee6dffb3c174dda1c2bc1912d5641f98d600c6ce68');
INSERT INTO public.commits VALUES (72, 72, 1795283404733670000, 1, 1, 1, 1, '\xcd1b9b3862e34352d08025c16d705f60e991845450034de5dc1b768d10ddff8f', '\x7248d25a0c87bb5c958e4d3ab29589f4ee398056a9b39fdaa97d413ec44f0c30');
INSERT INTO public.commits VALUES (76, 76, 1795283404752789000, 1, 1, 1, 1, '\x11df9fccc502622fcc0e2a1930d2086957ae8111fc7acdb11ecff08b3bba81dc', '\xb23802535757d89a6d83bd54e8c18f81d7017678f1d8281b6c7927801e1158c5');
INSERT INTO public.commits VALUES (81, 81, 1795283404764942000, 1, 1, 0, 1, '\x604addf860a3f181225baf2a467425516a3618b1503fb0145607f8406f6fc5ff', '\xe4bfafb21048313a9e2766f10f04760915d7994a6784584696b45f77b0940a00');
INSERT INTO public.commits VALUES (85, 85, 1795283404778155000, 1, 1, 0, 1, '\x6f713c39bd4ca598a5764228e692ccb6bf4d0fa53bb1b0c42747eff9035002fb', '\x8bd2aa9abeac6cafa0dea582f70002759467b973ad8d2c7befcbfd906e32a27b');
INSERT INTO public.commits VALUES (89, 89, 1795283404787599000, 1, 1, 0, 1, '\xc9a20c261132ca7aa5945bdf9e86b9779297b047c9337f7452fb991042d62cc0', '\x09c2c6421946805402faa1553730d44392c58fe5c4fb464c05808642f8a11522');
INSERT INTO public.commits VALUES (93, 93, 1795283404803851000, 1, 1, 0, 1, '\xe7e676430fabbefeb0688826525271bf1a6e50e249d011b434720f10c88e1c33', '\x6b5197daa6312dfea20451ded95f47f8a414ed4f293af5ce8d029c6c1047dc8b');
INSERT INTO public.commits VALUES (96, 95, 1795283405850137000, 1, 2, 0, 1, '\x6b5197daa6312dfea20451ded95f47f8a414ed4f293af5ce8d029c6c1047dc8b', '\x5517586048e42fa06eda4b4f77a5c6e1e89e5b9e6f3482a6846ad3c06676214e');
INSERT INTO public.commits VALUES (101, 101, 1795283406008797000, 1, 1, 1, 1, '\x26f8266e94737df2025e44018142d91654ec227c653e6ec8f80e740e156edcec', '\xe63b29e1702921ecdb4653d35b29f73b0cc70ebf8a03c752ebeb9013b1c978cf');
INSERT INTO public.commits VALUES (105, 105, 1795283406137206000, 1, 1, 1, 1, '\x28e68ec9bbc770c27b60f1ed40fe583d443d01292feed357ea8c6a7b96651a56', '\x39d7cf0a9dfa7a233032eb9ce4284e69b23478f2fd3657d0a15614e13dbfa4ec');
INSERT INTO public.commits VALUES (109, 109, 1795283406295702000, 1, 1, 1, 1, '\x7aec8d2f460f34280cc473144d8b163de60af72dd3ff9bf137056447e89aec49', '\x86c52174952ee736bba0cbdbed09adf0e44fc1307545367f71fb2003a93d3d34');
INSERT INTO public.commits VALUES (113, 113, 1795283406424207000, 1, 1, 1, 1, '\x96e57d6c7f63d1fd67a3ef0077e8b197ced80f81e121e0685874ec04628b8858', '\x341e0aa531189714f1fde22580e4d6ed3bf5f1fffd814a11cda7c564d6f9a90a');
INSERT INTO public.commits VALUES (69, 69, 1795283404727267000, 1, 1, 0, 1, '\x12ab714415ab13b5ee2fa4fe13e4484c6e92a1c9b5b0744b2259940003d434c4', '\xa86b57b3e19b99b42f2a09988a6a9a4706e7b0f7f1a1d95300abc636e5165c2f');
INSERT INTO public.commits VALUES (73, 73, 1795283404744791000, 1, 1, 0, 1, '\x8cdf415f3875f4ea514b750233eb6bc8366115cc4183b777eaad544881dfa495', '\x5c08965e9caae6ed3b3b34c7e88e923a71a1be5ea0a26c887f89baa4439c292c');
INSERT INTO public.commits VALUES (79, 77, 1795283404758565000, 1, 2, 0, 1, '\x3905617d76dc2fef9b2312bfa157984e459f388243e63c7f20c0ab2639568bbe', '\x604addf860a3f181225baf2a467425516a3618b1503fb0145607f8406f6fc5ff');
INSERT INTO public.commits VALUES (82, 82, 1795283404770902000, 1, 1, 1, 1, '\x9495d9553a92eec234f65f82eaaf0a690d775450a23c7c7a2152be88d6d79735', '\xf0956e3f63effe18cf68d1947b7545caa81fbd29cfa9865ba2d1712367e5f475');
INSERT INTO public.commits VALUES (86, 86, 1795283404780937000, 1, 1, 1, 1, '\xd3952946b56f70b3d003c5670df5ca7e1e99e2cf78b1804e474ff417fdb10474', '\x4f33ed76c485c13753d94399f1985a701871c6675802ff5fecf4ff9dc656d3a7');
INSERT INTO public.commits VALUES (90, 90, 1795283404794728000, 1, 1, 1, 1, '\x1a6c9eb5bd14f93a52d1a6c4aa7e2923f780fac10bf80c8604ddb95cb838571f', '\xe1c2842096c20650a94b39179b9cc2c36fa1ccb6b3140b246805142b59e9d4a9');
INSERT INTO public.commits VALUES (94, 94, 1795283404805863000, 1, 1, 1, 1, '\x5d125b1c43ccbbaa6ae5cdc59a29107a585827c6848e795bbe5a31531e57aba4', '\xbf3a682a154f7ee3eab4c431b3ec0a84557a35caf230376f767a8e11f73d9ebb');
INSERT INTO public.commits VALUES (97, 97, 1795283405880054000, 1, 1, 1, 1, '\xbf3a682a154f7ee3eab4c431b3ec0a84557a35caf230376f767a8e11f73d9ebb', '\xd7e649f97dec284c02bc77cacd889d12ef39d4e39a0ad09287fb125db7b67a58');
INSERT INTO public.commits VALUES (99, 99, 1795283405944226000, 1, 1, 1, 1, '\xd7e649f97dec284c02bc77cacd889d12ef39d4e39a0ad09287fb125db7b67a58', '\x26f8266e94737df2025e44018142d91654ec227c653e6ec8f80e740e156edcec');
INSERT INTO public.commits VALUES (103, 103, 1795283406073173000, 1, 1, 1, 1, '\xe63b29e1702921ecdb4653d35b29f73b0cc70ebf8a03c752ebeb9013b1c978cf', '\x28e68ec9bbc770c27b60f1ed40fe583d443d01292feed357ea8c6a7b96651a56');
INSERT INTO public.commits VALUES (107, 107, 1795283406231322000, 1, 1, 1, 1, '\x39d7cf0a9dfa7a233032eb9ce4284e69b23478f2fd3657d0a15614e13dbfa4ec', '\x7aec8d2f460f34280cc473144d8b163de60af72dd3ff9bf137056447e89aec49');
INSERT INTO public.commits VALUES (111, 111, 1795283406359805000, 1, 1, 1, 1, '\x86c52174952ee736bba0cbdbed09adf0e44fc1307545367f71fb2003a93d3d34', '\x96e57d6c7f63d1fd67a3ef0077e8b197ced80f81e121e0685874ec04628b8858');
INSERT INTO public.commits VALUES (115, 115, 1795283406490449000, 1, 1, 1, 1, '\x341e0aa531189714f1fde22580e4d6ed3bf5f1fffd814a11cda7c564d6f9a90a', '\x3d25255975b9d9484eb5df69afa7085e2e681e8e283c959ae4ec0a4f81d8d6d8');
INSERT INTO public.dead_letters VALUES (52, 1795283403216862000, 1795283403215168734, NULL, 0, 0, false, 'json_malformed', 'the JSON is malformed: expected ident at line 1 column 2', NULL, '\x6e6f74206a736f6e20617420616c6c');
INSERT INTO public.dead_letters VALUES (51, 1795283403223792000, 1795283403214914125, 1, 0, 1, false, 'amount_not_a_string', 'money is a decimal string such as "12.34"; a JSON number may be rounded on its way by any program that reads it as a float', '3210b8d9-8321-6708-bf4b-df44a9b75da9', '\x7b226c6564676572223a2264656d6f222c226964656d706f74656e63795f6b6579223a22666c6f6174222c2264656269745f6163636f756e74223a226131222c226372656469745f6163636f756e74223a226132222c22616d6f756e74223a312e30302c2263757272656e6379223a22555344227d');
INSERT INTO public.dead_letters VALUES (53, 1795283403223792000, 1795283403215392107, NULL, 0, 1, true, 'schema_unknown', 'the record says Sluice-Schema: cmd.v9, cmd.v1 is known here', NULL, '\x7b2278223a317d');
INSERT INTO public.dead_letters VALUES (54, 1795283403223792000, 1795283403215620427, NULL, 0, 1, false, 'ledger_unknown', 'there is no ledger nowhere', 'cbbc23fa-1f7d-413a-89e7-7d934b359133', '\x7b226c6564676572223a226e6f7768657265222c226964656d706f74656e63795f6b6579223a226b222c2264656269745f6163636f756e74223a227a7a222c226372656469745f6163636f756e74223a226132222c22616d6f756e74223a22312e3030222c2263757272656e6379223a22555344227d');
INSERT INTO public.keys VALUES ('559c347230ff353c', '\x04d2fe71b054d340e664e2333d6b7db9f2d2c18026e7a3d3af8da58435edd378', 1, 'write', 'sluice up', '2026-11-21 17:50:01.926327+00', NULL);
INSERT INTO public.keys VALUES ('72b8373b97cb88a9', '\x8d3c203fc76a01775982f2bc12283ca7c32d9f6b2a1e35dbeeb7bb3eea84bb54', 1, 'admin', 'sluice up', '2026-11-21 17:50:01.94225+00', NULL);
INSERT INTO public.ledgers OVERRIDING SYSTEM VALUE VALUES (1, 'demo', '2026-11-21 17:50:01.92286+00');
INSERT INTO public.outcomes VALUES (1, 1795283402155939000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"world","currency":"USD","status":"open","balance":"0.00","min_balance":null,"version":0,"opened_at":"2026-11-21T17:50:02.155939Z"}');
INSERT INTO public.outcomes VALUES (2, 1795283402170814000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"alice","currency":"USD","status":"open","balance":"0.00","min_balance":"0.00","version":0,"opened_at":"2026-11-21T17:50:02.170814Z"}');
INSERT INTO public.outcomes VALUES (3, 1795283402180588000, 1, 0, 0, 'sluice.account.opened.v1', NULL, '{"id":"bob","currency":"USD","status":"open","balance":"0.00","min_balance":"0.00","version":0,"opened_at":"2026-11-21T17:50:02.180588Z"}');
INSERT INTO public.outcomes VALUES (6, 1795283402810115000, 1, 0, 0, 'sluice.account.opened.v1', NULL, '{"id":"a0","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":0,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.810115Z"}');
INSERT INTO public.outcomes VALUES (7, 1795283402814824000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"a1","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":1,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.814824Z"}');
INSERT INTO public.outcomes VALUES (8, 1795283402817975000, 1, 0, 0, 'sluice.account.opened.v1', NULL, '{"id":"a2","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":2,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.817975Z"}');
INSERT INTO public.outcomes VALUES (9, 1795283402821364000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"a3","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":3,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.821364Z"}');
INSERT INTO public.outcomes VALUES (10, 1795283402823768000, 1, 0, 0, 'sluice.account.opened.v1', NULL, '{"id":"a4","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":4,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.823768Z"}');
INSERT INTO public.outcomes VALUES (11, 1795283402830192000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"a5","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":5,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.830192Z"}');
INSERT INTO public.outcomes VALUES (12, 1795283402836169000, 1, 0, 0, 'sluice.account.opened.v1', NULL, '{"id":"a6","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":6,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.836169Z"}');
INSERT INTO public.outcomes VALUES (13, 1795283402839546000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"a7","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":7,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.839546Z"}');
INSERT INTO public.outcomes VALUES (14, 1795283402843672000, 1, 0, 0, 'sluice.account.opened.v1', NULL, '{"id":"a8","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":8,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.843672Z"}');
INSERT INTO public.outcomes VALUES (15, 1795283402848524000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"a9","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":9,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.848524Z"}');
INSERT INTO public.outcomes VALUES (16, 1795283402852708000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"a10","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":10,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.852708Z"}');
INSERT INTO public.outcomes VALUES (17, 1795283402855762000, 1, 0, 0, 'sluice.account.opened.v1', NULL, '{"id":"a11","currency":"USD","type":"wallet","status":"open","balance":"0.00","min_balance":"0.00","version":0,"metadata":{"n":11,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.855762Z"}');
INSERT INTO public.outcomes VALUES (18, 1795283402858316000, 1, 0, 1, 'sluice.account.refused.v1', NULL, '{"id":"a1","command":"open_account","reason":"account_exists","detail":"account a1 was opened with another currency, type, metadata","differs":["currency","type","metadata"]}');
INSERT INTO public.outcomes VALUES (19, 1795283402860553000, 1, 0, 1, 'sluice.account.opened.v1', NULL, '{"id":"eu","currency":"EUR","status":"open","balance":"0.00","min_balance":null,"version":0,"opened_at":"2026-11-21T17:50:02.860553Z"}');
INSERT INTO public.outcomes VALUES (38, 1795283402929778000, 1, 0, 0, 'sluice.account.changed.v1', NULL, '{"id":"a6","currency":"USD","type":"wallet","status":"open","balance":"100.00","min_balance":"-50.00","version":1,"metadata":{"vip":true},"opened_at":"2026-11-21T17:50:02.836169Z"}');
INSERT INTO public.outcomes VALUES (40, 1795283402944241000, 1, 0, 0, 'sluice.account.frozen.v1', NULL, '{"id":"a8","currency":"USD","type":"wallet","status":"frozen","balance":"100.00","min_balance":"0.00","version":1,"metadata":{"n":8,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.843672Z"}');
INSERT INTO public.outcomes VALUES (42, 1795283402949873000, 1, 0, 0, 'sluice.account.unfrozen.v1', NULL, '{"id":"a8","currency":"USD","type":"wallet","status":"open","balance":"100.00","min_balance":"0.00","version":1,"metadata":{"n":8,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.843672Z"}');
INSERT INTO public.outcomes VALUES (43, 1795283402952071000, 1, 0, 1, 'sluice.account.refused.v1', NULL, '{"id":"a9","command":"close_account","reason":"balance_not_zero","detail":"account a9 has 100.00; only an empty account can be closed"}');
INSERT INTO public.outcomes VALUES (45, 1795283402963595000, 1, 0, 1, 'sluice.account.closed.v1', NULL, '{"id":"a9","currency":"USD","type":"wallet","status":"closed","balance":"0.00","min_balance":"0.00","version":2,"metadata":{"n":9,"x":0.4167768076651964},"opened_at":"2026-11-21T17:50:02.848524Z"}');
INSERT INTO public.outcomes VALUES (50, 1795283403216862000, 1, 0, 0, 'sluice.transfer.replayed.v1', '99826e09-0c3b-9b45-f1ba-8e0cb50eb445', NULL);
INSERT INTO public.outcomes VALUES (48, 1795283403223792000, 1, 0, 1, 'sluice.transfer.replayed.v1', '7033601b-074a-1d05-d293-129b2271cb7b', NULL);
INSERT INTO public.outcomes VALUES (49, 1795283403223792000, 1, 0, 1, 'sluice.transfer.key_reused.v1', NULL, '{"transfer_id":"tr_7033601b074a1d05d293129b2271cb7b","differs":["credit_account"]}');
INSERT INTO public.outcomes VALUES (95, 1795283405850137000, 1, 0, 0, 'sluice.transfer.replayed.v1', '99826e09-0c3b-9b45-f1ba-8e0cb50eb445', NULL);
INSERT INTO public.partitions VALUES (0, '13401-6d681e22c4eed27a', 1, '2026-11-21 17:50:24.49933+00', 0, 1795283401863028662, 114, 1795283406454660038, 93, NULL, NULL);
INSERT INTO public.partitions VALUES (1, '13401-6d681e22c4eed27a', 1, '2026-11-21 17:50:24.511349+00', 0, 1795283401863028662, 115, 1795283406487002331, 94, NULL, NULL);
INSERT INTO public.processors VALUES ('13401-6d681e22c4eed27a', '2026-11-21 17:50:18.99139+00');
INSERT INTO public.transfers VALUES ('7ad4ecd8-c92c-d395-1db2-274d80a1f9e7', 4, 1795283402190582504, 1795283402195684000, 100000, 1, 1, -100000, 100000, 1, 0, 1, 2, 'world', 'alice', 'USD', 'sluice-up-alice', NULL, NULL, 'pocket money', NULL);
INSERT INTO public.transfers VALUES ('b5d1326b-ee14-60c2-0b17-641699d81156', 5, 1795283402201134847, 1795283402202129000, 100000, 2, 1, -200000, 100000, 1, 0, 1, 2, 'world', 'bob', 'USD', 'sluice-up-bob', NULL, NULL, 'pocket money', NULL);
INSERT INTO public.transfers VALUES ('52c4a7bb-451a-d112-ac6e-ac36d0d1cb3c', 20, 1795283402864671178, 1795283402865799000, 10000, 3, 1, -210000, 10000, 1, 0, 1, 2, 'world', 'a0', 'USD', 'fund-0', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('45594080-1d61-d832-72d8-3bbaae973ed4', 21, 1795283402867352233, 1795283402868181000, 10000, 4, 1, -220000, 10000, 1, 0, 1, 2, 'world', 'a1', 'USD', 'fund-1', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('bff6e2ef-33ea-a687-4ae8-cc211ffdea8c', 22, 1795283402869547704, 1795283402870344000, 10000, 5, 1, -230000, 10000, 1, 0, 1, 2, 'world', 'a2', 'USD', 'fund-2', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('4903c054-f71d-4170-8e51-3dba6808ca70', 23, 1795283402873316429, 1795283402874268000, 10000, 6, 1, -240000, 10000, 1, 0, 1, 2, 'world', 'a3', 'USD', 'fund-3', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('7dbfee7c-65de-1010-ef80-0078b741ae75', 24, 1795283402877356549, 1795283402878358000, 10000, 7, 1, -250000, 10000, 1, 0, 1, 2, 'world', 'a4', 'USD', 'fund-4', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('40647df5-fed4-2743-fc08-0bb615845996', 25, 1795283402879842743, 1795283402880669000, 10000, 8, 1, -260000, 10000, 1, 0, 1, 2, 'world', 'a5', 'USD', 'fund-5', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('4d96f281-89a6-cd9c-7df4-e12ba7c6806c', 26, 1795283402882124903, 1795283402882908000, 10000, 9, 1, -270000, 10000, 1, 0, 1, 2, 'world', 'a6', 'USD', 'fund-6', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('e5c6ea13-15ad-aa04-57b3-e05002b176d3', 27, 1795283402884413664, 1795283402885341000, 10000, 10, 1, -280000, 10000, 1, 0, 1, 2, 'world', 'a7', 'USD', 'fund-7', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('09c4a21a-8811-0cb0-a1ce-efeb18a6388d', 28, 1795283402886766850, 1795283402887600000, 10000, 11, 1, -290000, 10000, 1, 0, 1, 2, 'world', 'a8', 'USD', 'fund-8', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('848addf7-1e82-70b8-047a-58b40c13dd07', 29, 1795283402888866458, 1795283402889851000, 10000, 12, 1, -300000, 10000, 1, 0, 1, 2, 'world', 'a9', 'USD', 'fund-9', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('dc1ccca5-565b-fc22-d922-b5c38affffb0', 30, 1795283402891326263, 1795283402892118000, 10000, 13, 1, -310000, 10000, 1, 0, 1, 2, 'world', 'a10', 'USD', 'fund-10', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('94cbd8f2-c1c1-bad8-93d9-f66c9f08cc39', 31, 1795283402893381545, 1795283402894239000, 10000, 14, 1, -320000, 10000, 1, 0, 1, 2, 'world', 'a11', 'USD', 'fund-11', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('0089a710-d498-7ff7-9c4f-3888f01c36bb', 32, 1795283402895833779, 1795283402896632000, 100, 2, 2, 9900, 10100, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'meta-small', NULL, NULL, 'ä "quoted"', '{"x":1e-25,"y":0.4167768076651964}');
INSERT INTO public.transfers VALUES ('e1bc8c58-272e-d078-3239-045b4ad66f06', 33, 1795283402897944364, 1795283402898772000, 100, 2, 2, 9900, 10100, 1, 0, 0, 2, 'a2', 'a3', 'USD', 'meta-digits', NULL, NULL, NULL, '{"x":0.4167768076651964}');
INSERT INTO public.transfers VALUES ('99826e09-0c3b-9b45-f1ba-8e0cb50eb445', 34, 1795283402900103420, 1795283402900930000, 500000, NULL, NULL, NULL, NULL, 1, 0, 0, 2, 'a4', 'a5', 'USD', 'poor', 'insufficient_funds', 'account a4 has 100.00 and may not fall below 0.00', NULL, NULL);
INSERT INTO public.transfers VALUES ('b3ec07f5-be20-b56d-4af8-85e634476018', 35, 1795283402904419651, 1795283402905914000, 100, NULL, NULL, NULL, NULL, 1, 0, 0, 2, 'a4', 'nobody', 'USD', 'unknown', 'account_unknown', 'there is no credit account nobody', NULL, NULL);
INSERT INTO public.transfers VALUES ('dca1e851-a280-7011-aa24-dc0bfa8ee0ce', 36, 1795283402910157325, 1795283402911536000, 100, NULL, NULL, NULL, NULL, 1, 0, 0, 2, 'a4', 'eu', 'USD', 'currency', 'currency_differs', 'account eu holds EUR, not USD', NULL, NULL);
INSERT INTO public.transfers VALUES ('2f391ec3-cdd2-447b-6f7d-c48afa2ca951', 37, 1795283402914997657, 1795283402916626000, 100, NULL, NULL, NULL, NULL, 1, 0, 0, 2, 'a4', 'a4', 'USD', 'same', 'accounts_must_differ', 'the debit account and the credit account are both a4', NULL, NULL);
INSERT INTO public.transfers VALUES ('c4a0dc65-08d6-ad47-da54-324e041adb32', 39, 1795283402939321478, 1795283402940739000, 13000, 2, 2, -3000, 23000, 1, 0, 0, 2, 'a6', 'a7', 'USD', 'overdraft', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('a0498099-fdd6-eeb7-e778-c6356c1c7614', 41, 1795283402946596663, 1795283402947540000, 100, NULL, NULL, NULL, NULL, 1, 0, 0, 2, 'a8', 'a1', 'USD', 'frozen', 'account_frozen', 'the debit account a8 is frozen', NULL, NULL);
INSERT INTO public.transfers VALUES ('83c43db2-6dd8-c1ea-bef5-8e0ecb63f37d', 44, 1795283402954559978, 1795283402955678000, 10000, 2, 3, 0, 20100, 1, 0, 1, 2, 'a9', 'a1', 'USD', 'empty-a9', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('bac3213f-4426-5aef-b488-d36ef5295c64', 46, 1795283402966532306, 1795283402967485000, 100, NULL, NULL, NULL, NULL, 1, 0, 1, 2, 'a1', 'a9', 'USD', 'closed', 'account_closed', 'the credit account a9 is closed', NULL, NULL);
INSERT INTO public.transfers VALUES ('7033601b-074a-1d05-d293-129b2271cb7b', 47, 1795283403169273433, 1795283403170918000, 100, 4, 3, 20000, 10000, 1, 0, 1, 2, 'a1', 'a2', 'USD', 'by-hand', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('5435cfb1-ddb3-6434-8939-91ce96e6df4d', 55, 1795283404670082268, 1795283404671808000, 1, 3, 5, 9899, 20001, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'day-0', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('cade8b28-6cd1-f452-bf45-53e133bbff48', 56, 1795283404675007256, 1795283404679396000, 2, 6, 3, 19999, -2998, 1, 0, 1, 2, 'a1', 'a6', 'USD', 'day-1', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('55b9ce6d-78d3-ef4c-c801-dfd7094428ed', 57, 1795283404678854629, 1795283404682918000, 3, 4, 3, 9997, 10103, 1, 0, 0, 2, 'a2', 'a3', 'USD', 'day-2', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('4fdd2d90-5269-abe6-23a1-bb7e792eccd4', 58, 1795283404680519760, 1795283404684502000, 4, 4, 4, 10099, 9903, 1, 0, 1, 2, 'a3', 'a0', 'USD', 'day-3', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('907c1797-8298-1922-c289-1420582c5af2', 59, 1795283404681800238, 1795283404695382000, 5, 2, 2, 9995, 10005, 1, 0, 0, 2, 'a4', 'a5', 'USD', 'day-4', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('e4bcd6a2-05dd-43fd-61b1-d14eb61ed9f3', 60, 1795283404697333211, 1795283404698770000, 6, 3, 5, 9999, 10003, 1, 0, 1, 2, 'a5', 'a2', 'USD', 'day-5', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('97a0fd0f-1df4-d7d4-5345-a07d62fededd', 61, 1795283404698426510, 1795283404701974000, 7, 4, 3, -3005, 23007, 1, 0, 0, 2, 'a6', 'a7', 'USD', 'day-6', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('e759c103-db1a-5f99-831c-86a844e0c6dd', 63, 1795283404700434522, 1795283404701974000, 9, 5, 7, 9894, 20008, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'day-8', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('bf0e648a-1ee7-28cc-77da-7623ebb2cd4e', 62, 1795283404699445238, 1795283404704092000, 8, 4, 3, 22999, 10003, 1, 0, 1, 2, 'a7', 'a4', 'USD', 'day-7', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('d16a5790-0439-a8d7-98b1-cb812937d4c5', 65, 1795283404704903871, 1795283404711136000, 11, 6, 5, 9992, 10110, 1, 0, 0, 2, 'a2', 'a3', 'USD', 'day-10', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('e1abdf4a-888d-0153-4135-af435ba20940', 66, 1795283404710372859, 1795283404714570000, 12, 6, 6, 10098, 9906, 1, 0, 1, 2, 'a3', 'a0', 'USD', 'day-11', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('fa9dde6e-b547-6905-c936-cca11752cd23', 64, 1795283404703584565, 1795283404714570000, 10, 8, 5, 19998, -2995, 1, 0, 1, 2, 'a1', 'a6', 'USD', 'day-9', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('6e08a29c-9bd4-dcdc-94f9-957c88c9f054', 67, 1795283404712912113, 1795283404717774000, 13, 4, 4, 9990, 10012, 1, 0, 0, 2, 'a4', 'a5', 'USD', 'day-12', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('759a53de-13aa-2b89-ea85-4c50bc09ea72', 68, 1795283404719721258, 1795283404721262000, 14, 5, 7, 9998, 10006, 1, 0, 1, 2, 'a5', 'a2', 'USD', 'day-13', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('7db525d3-a30b-2e3f-3344-7c8d3d560918', 69, 1795283404720756670, 1795283404727267000, 15, 6, 5, -3010, 23014, 1, 0, 0, 2, 'a6', 'a7', 'USD', 'day-14', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('b13ec7ec-8137-7126-bb91-62b43ffeee1d', 70, 1795283404722618184, 1795283404728919000, 16, 6, 5, 22998, 10006, 1, 0, 1, 2, 'a7', 'a4', 'USD', 'day-15', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('6ec8a17f-e047-e1c2-af67-068b3ab42e4d', 71, 1795283404726398476, 1795283404730539000, 17, 7, 9, 9889, 20015, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'day-16', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('a2e6b3ae-0783-353e-e43d-55d4d263ce62', 72, 1795283404732154593, 1795283404733670000, 18, 10, 7, 19997, -2992, 1, 0, 1, 2, 'a1', 'a6', 'USD', 'day-17', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('5e052b5c-3040-6e32-0d72-855c3826389f', 73, 1795283404733039151, 1795283404744791000, 19, 8, 7, 9987, 10117, 1, 0, 0, 2, 'a2', 'a3', 'USD', 'day-18', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('fc50c2b3-be51-b9e1-c566-9d4fba5e0390', 74, 1795283404743866613, 1795283404747007000, 20, 8, 8, 10097, 9909, 1, 0, 1, 2, 'a3', 'a0', 'USD', 'day-19', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('1cfcc653-9c6b-6c10-4667-eaf68a0818f6', 75, 1795283404746092109, 1795283404748841000, 21, 6, 6, 9985, 10019, 1, 0, 0, 2, 'a4', 'a5', 'USD', 'day-20', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('09fee8aa-31b4-80e0-5811-bb79eb6f7d65', 76, 1795283404750474398, 1795283404752789000, 22, 7, 9, 9997, 10009, 1, 0, 1, 2, 'a5', 'a2', 'USD', 'day-21', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('45d5faf8-4b36-af7d-420b-9dca3baf64b2', 79, 1795283404753628958, 1795283404758565000, 25, 9, 11, 9884, 20022, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'day-24', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('f332c5eb-0988-6515-cc8a-5b74a7268109', 77, 1795283404751618683, 1795283404758565000, 23, 8, 7, -3015, 23021, 1, 0, 0, 2, 'a6', 'a7', 'USD', 'day-22', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('d255e1a0-6219-b21b-6a89-4029128b108e', 78, 1795283404752519395, 1795283404760235000, 24, 8, 7, 22997, 10009, 1, 0, 1, 2, 'a7', 'a4', 'USD', 'day-23', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('2ea9de3c-73b7-8f9d-12c3-1af7a5020310', 80, 1795283404760431494, 1795283404761836000, 26, 12, 9, 19996, -2989, 1, 0, 1, 2, 'a1', 'a6', 'USD', 'day-25', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('8adcaab9-5e7a-b183-fbb1-57a3da4102c6', 81, 1795283404761963416, 1795283404764942000, 27, 10, 9, 9982, 10124, 1, 0, 0, 2, 'a2', 'a3', 'USD', 'day-26', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('014bcebb-f314-963a-9372-a5649250bbae', 82, 1795283404763204555, 1795283404770902000, 28, 10, 10, 10096, 9912, 1, 0, 1, 2, 'a3', 'a0', 'USD', 'day-27', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('4191c7b9-06cf-06d4-b723-9976af28e008', 83, 1795283404764381629, 1795283404772050000, 29, 8, 8, 9980, 10026, 1, 0, 0, 2, 'a4', 'a5', 'USD', 'day-28', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('4d41ff56-ef1e-fb6a-5c0f-8625ca75d71c', 87, 1795283404776955914, 1795283404782255000, 33, 11, 13, 9879, 20029, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'day-32', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('11f840bf-f664-5855-0373-c2a89640590a', 91, 1795283404786935583, 1795283404798477000, 37, 10, 10, 9975, 10033, 1, 0, 0, 2, 'a4', 'a5', 'USD', 'day-36', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('3448597d-0eb1-0c40-d4b3-f06c7e66d2b3', 102, 1795283406039211043, 1795283406041047000, 7, 13, 14, -3032, 10098, 1, 0, 0, 2, 'a6', 'a3', 'USD', 'late-6', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('916b3b2d-9f78-249e-51f4-8c42183206eb', 106, 1795283406167949365, 1795283406199177000, 11, 16, 15, 10005, 23001, 1, 0, 0, 2, 'a2', 'a7', 'USD', 'late-10', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('1dc1f71c-4281-0b52-edc5-77c690eb9717', 110, 1795283406325740966, 1795283406327574000, 15, 15, 16, -3039, 10101, 1, 0, 0, 2, 'a6', 'a3', 'USD', 'late-14', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('3badf3cc-82b2-8639-f7d4-95ee604a3cd6', 114, 1795283406454416836, 1795283406456128000, 19, 18, 17, 9998, 23004, 1, 0, 0, 2, 'a2', 'a7', 'USD', 'late-18', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('0b4e2753-4bd6-d3dc-f664-e1d78d29a07a', 84, 1795283404774288360, 1795283404775188000, 30, 9, 11, 9996, 10012, 1, 0, 1, 2, 'a5', 'a2', 'USD', 'day-29', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('49318f0d-2359-0b5f-2d61-dc020aa291fb', 88, 1795283404784035182, 1795283404784842000, 34, 14, 11, 19995, -2986, 1, 0, 1, 2, 'a1', 'a6', 'USD', 'day-33', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('10cf609e-34c8-0a7e-0567-3793c44021f5', 92, 1795283404800425152, 1795283404801346000, 38, 11, 13, 9995, 10015, 1, 0, 1, 2, 'a5', 'a2', 'USD', 'day-37', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('b986f72f-ee1a-3011-6d0d-95357dff7c5c', 98, 1795283405910366076, 1795283405912309000, 3, 14, 13, 10012, 22998, 1, 0, 0, 2, 'a2', 'a7', 'USD', 'late-2', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('8a5ac61f-fcd2-607e-91df-61bef7b2be55', 100, 1795283405974714090, 1795283405976531000, 5, 13, 12, 10012, 10000, 1, 0, 0, 2, 'a4', 'a5', 'USD', 'late-4', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('349b40a0-359f-af7e-f776-915472092e2f', 104, 1795283406103118882, 1795283406105118000, 9, 15, 17, 9911, 20003, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'late-8', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('b7312fc2-5718-bd66-15ad-8dd75e4f7677', 108, 1795283406261609193, 1795283406263353000, 13, 15, 14, 10009, 10007, 1, 0, 0, 2, 'a4', 'a5', 'USD', 'late-12', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('b07c3150-eb7f-0591-2739-d2dbd862deae', 112, 1795283406389982652, 1795283406391691000, 17, 17, 19, 9908, 20010, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'late-16', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('32231075-3a90-7a76-5c3c-a61c5e9a999d', 85, 1795283404775322440, 1795283404778155000, 31, 10, 9, -3020, 23028, 1, 0, 0, 2, 'a6', 'a7', 'USD', 'day-30', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('f2c34c55-31af-82f4-8e7e-2027ab313867', 89, 1795283404784933811, 1795283404787599000, 35, 12, 11, 9977, 10131, 1, 0, 0, 2, 'a2', 'a3', 'USD', 'day-34', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('94a6e1c3-197d-7e50-f8cb-300c8ad884fd', 93, 1795283404801506683, 1795283404803851000, 39, 12, 11, -3025, 23035, 1, 0, 0, 2, 'a6', 'a7', 'USD', 'day-38', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('4472ac52-f671-292b-fd06-1ace340e8de9', 96, 1795283405846336921, 1795283405850137000, 1, 13, 15, 9914, 19996, 1, 0, 0, 2, 'a0', 'a1', 'USD', 'late-0', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('4bb235f1-7ec1-39c6-2280-928147237407', 101, 1795283406006582252, 1795283406008797000, 6, 13, 14, 9994, 9920, 1, 0, 1, 2, 'a5', 'a0', 'USD', 'late-5', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('cfda2c44-d5b3-5d65-d217-e4305f62c506', 105, 1795283406135355502, 1795283406137206000, 10, 18, 14, 19993, 10022, 1, 0, 1, 2, 'a1', 'a4', 'USD', 'late-9', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('1776e9a7-ded9-0448-551f-26c808ae77cd', 109, 1795283406293661049, 1795283406295702000, 14, 15, 16, 9993, 9925, 1, 0, 1, 2, 'a5', 'a0', 'USD', 'late-13', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('06d73c76-872e-ffc1-9517-71a5ad3269d0', 113, 1795283406421974468, 1795283406424207000, 18, 20, 16, 19992, 10027, 1, 0, 1, 2, 'a1', 'a4', 'USD', 'late-17', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('e8371573-0bcb-4f8f-dfa3-e4d566becbc4', 86, 1795283404776196172, 1795283404780937000, 32, 10, 9, 22996, 10012, 1, 0, 1, 2, 'a7', 'a4', 'USD', 'day-31', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('0864cb50-2d1b-61b5-a261-455ccbdb2dad', 90, 1795283404786001261, 1795283404794728000, 36, 12, 12, 10095, 9915, 1, 0, 1, 2, 'a3', 'a0', 'USD', 'day-35', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('c4e984ae-68f2-04ec-0530-710327926016', 94, 1795283404802493984, 1795283404805863000, 40, 12, 11, 22995, 10015, 1, 0, 1, 2, 'a7', 'a4', 'USD', 'day-39', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('26f83cde-dc3f-71ad-65c0-65245c6659ea', 97, 1795283405878401380, 1795283405880054000, 2, 16, 12, 19994, 10017, 1, 0, 1, 2, 'a1', 'a4', 'USD', 'late-1', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('02cbb7ec-0e3a-3388-4753-2c82112d5772', 99, 1795283405942548776, 1795283405944226000, 4, 13, 15, 10091, 10016, 1, 0, 1, 2, 'a3', 'a2', 'USD', 'late-3', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('f3ffe5e4-571e-152c-b3e3-c0645304f734', 103, 1795283406071279653, 1795283406073173000, 8, 14, 14, 22990, -3024, 1, 0, 1, 2, 'a7', 'a6', 'USD', 'late-7', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('7c98598c-42ee-d22b-98e7-9fa47b7fbfed', 107, 1795283406229426253, 1795283406231322000, 12, 15, 17, 10086, 10017, 1, 0, 1, 2, 'a3', 'a2', 'USD', 'late-11', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('d423ca4d-576b-1b93-e809-52af225bd3c5', 111, 1795283406357703899, 1795283406359805000, 16, 16, 16, 22985, -3023, 1, 0, 1, 2, 'a7', 'a6', 'USD', 'late-15', NULL, NULL, NULL, NULL);
INSERT INTO public.transfers VALUES ('9057221c-dddc-ee3e-1b71-d1eca91c04cb', 115, 1795283406486404185, 1795283406490449000, 20, 17, 19, 10081, 10018, 1, 0, 1, 2, 'a3', 'a2', 'USD', 'late-19', NULL, NULL, NULL, NULL);
SELECT pg_catalog.setval('public.adoptions_number_seq', 1, false);
SELECT pg_catalog.setval('public.ledgers_number_seq', 2, true);
ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (ledger, id);
ALTER TABLE ONLY public.adoptions
    ADD CONSTRAINT adoptions_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.commits
    ADD CONSTRAINT commits_pkey PRIMARY KEY (partition, "position");
ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (partition, "position", line);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_hash_key UNIQUE (hash);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ledgers
    ADD CONSTRAINT ledgers_name_key UNIQUE (name);
ALTER TABLE ONLY public.ledgers
    ADD CONSTRAINT ledgers_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.outcomes
    ADD CONSTRAINT outcomes_pkey PRIMARY KEY (partition, "position", line);
ALTER TABLE ONLY public.partitions
    ADD CONSTRAINT partitions_pkey PRIMARY KEY (partition);
ALTER TABLE ONLY public.processors
    ADD CONSTRAINT processors_pkey PRIMARY KEY (owner);
ALTER TABLE ONLY public.transfers
    ADD CONSTRAINT transfers_key PRIMARY KEY (id);
ALTER TABLE ONLY public.units
    ADD CONSTRAINT units_pkey PRIMARY KEY (ledger, code);
CREATE INDEX dead_letters_transfer ON public.dead_letters USING btree (transfer_id) WHERE (transfer_id IS NOT NULL);
CREATE INDEX keys_ledger ON public.keys USING btree (ledger, id);
CREATE UNIQUE INDEX transfers_credit ON public.transfers USING btree (ledger, credit_account, credit_version) WHERE (reason IS NULL);
CREATE UNIQUE INDEX transfers_debit ON public.transfers USING btree (ledger, debit_account, debit_version) WHERE (reason IS NULL);
CREATE INDEX transfers_decided ON public.transfers USING btree (ledger, decided_at);
CREATE UNIQUE INDEX transfers_journal ON public.transfers USING btree (partition, "position", line);
CREATE INDEX transfers_refused ON public.transfers USING btree (ledger, decided_at) WHERE (reason IS NOT NULL);
CREATE INDEX transfers_refused_credit ON public.transfers USING btree (ledger, credit_account, decided_at) WHERE (reason IS NOT NULL);
CREATE INDEX transfers_refused_debit ON public.transfers USING btree (ledger, debit_account, decided_at) WHERE (reason IS NOT NULL);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_ledger_fkey FOREIGN KEY (ledger) REFERENCES public.ledgers(number);
ALTER TABLE ONLY public.units
    ADD CONSTRAINT units_ledger_fkey FOREIGN KEY (ledger) REFERENCES public.ledgers(number);
