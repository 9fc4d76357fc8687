import sys

from agents.smart_agent.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
