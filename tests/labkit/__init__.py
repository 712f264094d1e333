"""What the tests of the running lab need: Salt's commands, the APIs, power, a browser."""
