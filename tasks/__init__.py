"""The names under which Celery knows our work. A task is a decorator and a call; there is no logic here."""
