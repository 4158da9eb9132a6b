-- The same user as runwatch_reader.xml makes, for a server whose users are made by statements. Give it a password of
-- your own first. Each statement can be repeated.

CREATE SETTINGS PROFILE IF NOT EXISTS runwatch_reader SETTINGS
    readonly = 1,
    max_execution_time = 15 MIN 1 MAX 60 CHANGEABLE_IN_READONLY,
    max_memory_usage = 536870912 MIN 1 MAX 536870912 CHANGEABLE_IN_READONLY,
    max_rows_to_read = 2000000000 MIN 1 MAX 2000000000 CHANGEABLE_IN_READONLY,
    max_result_rows = 1000001 MIN 1 MAX 1000001 CHANGEABLE_IN_READONLY,
    max_result_bytes = 536870912 MIN 1 MAX 536870912 CHANGEABLE_IN_READONLY,
    result_overflow_mode = 'break',
    max_block_size = 8192,
    read_overflow_mode = 'throw',
    timeout_overflow_mode = 'throw',
    timeout_before_checking_execution_speed = 0,
    max_bytes_before_external_group_by = 268435456,
    max_bytes_before_external_sort = 268435456,
    max_temporary_data_on_disk_size_for_query = 2147483648,
    max_concurrent_queries_for_user = 8,
    cancel_http_readonly_queries_on_client_close = 1;

CREATE USER IF NOT EXISTS runwatch_reader
    IDENTIFIED WITH sha256_password BY 'change me'
    SETTINGS PROFILE 'runwatch_reader';

GRANT SELECT, SHOW ON runwatch.* TO runwatch_reader;
