"""What a first start needs: directories and disks of this host, configuration files, a crontab or timer."""
