if(TARGET cnnbn-info)
  cnnbn_add_script_test(cli-info test_info.sh LABELS cli)
  cnnbn_add_script_test(cli-docs test_docs_options.sh LABELS cli)
endif()
