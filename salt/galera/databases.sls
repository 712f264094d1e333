{#- Databases and users of every project, once per cloud: on the leader, after the cluster is formed. #}
{%- set v = pillar.cloud["values"].galera %}
{%- set server = {"connection_unix_socket": v.check.socket, "connection_user": "root",
                  "connection_charset": "utf8mb4"} %}

{%- macro connection() %}
{%- for key, value in server.items() %}
    - {{ key }}: {{ value }}
{%- endfor %}
{%- endmacro %}

{%- for project in v.databases %}

galera-user-{{ project.user }}:
  mysql_user.present:
    - name: {{ project.user }}
    - host: '%'
    - password_hash: {{ project.password_hash | tojson }}
    {{- connection() }}
{%- for database in project.databases %}

galera-database-{{ database }}:
  mysql_database.present:
    - name: {{ database }}
    - character_set: utf8mb3
    {{- connection() }}

galera-grant-{{ database }}:
  mysql_grants.present:
    - grant: all privileges
    - database: {{ database }}.*
    - user: {{ project.user }}
    - host: '%'
    {{- connection() }}
    - require:
      - mysql_user: galera-user-{{ project.user }}
      - mysql_database: galera-database-{{ database }}
{%- endfor %}
{%- endfor %}
